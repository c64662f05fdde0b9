"""What a table or figure of label runs is: its layout, and the numbers that were published."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Misprint:
    """A published number that can't be right, with what was printed.

    Attributes:
        measure: "pa", "ua" or "f1".
        place: name of the class.
        printed: percent, as it stands in the publication.
        reason: how that is known.
    """

    measure: str
    place: str
    printed: float
    reason: str


@dataclass(frozen=True)
class AccuracyRow:
    """Published accuracies of a label map, a map or a product, as fractions, misprints corrected.

    Attributes:
        name: "final", "round_0" and so on, or the name of a product, by which measured ones are
            found.
        label: what the table calls it.
        published: "pa", "ua" and "f1" -> class -> value; None where there is none.
        oa: overall accuracy; None: not published.
        ratio: share of the pixels that are labelled; None: not published.
        misprints: what was corrected.
        remark: what else a reader must know of the row; "" for nothing.
    """

    name: str
    label: str
    published: Mapping[str, Mapping[str, float | None]]
    oa: float | None
    ratio: float | None
    misprints: tuple[Misprint, ...]
    remark: str


@dataclass(frozen=True)
class AccuracyDefinition:
    """A table of accuracies by class, of folders that `mapsr label` and `mapsr compare` wrote.

    Attributes:
        name: of the definition's file, without its ending.
        title: one line.
        caption: what is seen, one paragraph.
        of: which maps of a run: "final", "rounds", "products".
        head: of the first column.
        columns: class -> what the table calls it, from left to right.
        rows: published ones.
        notes: what a reader must know of it.
    """

    name: str
    title: str
    caption: str
    of: tuple[str, ...]
    head: str
    columns: Mapping[str, str]
    rows: tuple[AccuracyRow, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class LabelFigureDefinition:
    """A figure of a folder that `mapsr label` or `mapsr compare` wrote.

    Attributes:
        name: of the definition's file, without its ending.
        title: one line.
        caption: what is seen, one paragraph.
        shows: "rounds": labels and models of each round; "composition": classes of cities.
        published: name -> percent, what was published beside; of rounds "0", "1" and so on: the
            model's overall accuracy; of compositions the mean share of each class.
        notes: what a reader must know of it.
    """

    name: str
    title: str
    caption: str
    shows: str
    published: Mapping[str, float]
    notes: tuple[str, ...]
