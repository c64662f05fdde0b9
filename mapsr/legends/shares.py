"""Which classes a raster of a product holds, and how much of each."""

from collections.abc import Mapping
from dataclasses import dataclass

from mapsr.legends.crosswalk import Crosswalk
from mapsr.legends.legend import MASKED, Legend


@dataclass(frozen=True)
class CodeShare:
    """One code of a raster, and what becomes of it."""

    code: int
    """What the raster holds; -1 stands for masked pixels."""
    name: str
    """Class of the product; "nodata" or "unknown code" where it is none."""
    target: str | None
    """Class of the map that it stands for; None leaves it out."""
    share: float
    """Part of all counted pixels, above 0 and up to 1."""


MOST_UNKNOWN = 0.01
"""Share of unknown codes above which the legend is the wrong one, rather than the product odd."""


def unknown_codes(legend: Legend, counts: Mapping[int, int]) -> tuple[float, list[int]]:
    """Say which codes of a raster a legend does not name.

    Args:
        legend: of the raster, as it is thought.
        counts: pixels by code; -1 stands for masked pixels.

    Returns:
        Their share of the pixels whose code means something, and the codes, most pixels first.
    """
    aside = {MASKED, *legend.nodata}
    meant = {code: count for code, count in counts.items() if code not in aside}
    unknown = {code: count for code, count in meant.items() if code not in legend.codes}
    share = sum(unknown.values()) / max(1, sum(meant.values()))
    return share, sorted(unknown, key=lambda code: -unknown[code])


def code_table(crosswalk: Crosswalk, counts: Mapping[int, int]) -> list[CodeShare]:
    """Say what each code of a raster is, and what the crosswalk makes of it.

    Args:
        crosswalk: from the product of the raster to the legend of the map.
        counts: pixels by code, >= 0 each; -1 stands for masked pixels.

    Returns:
        One row for each code with pixels: the largest share first, equal ones by code. The shares
        sum to 1 where there is a row.
    """
    source = crosswalk.source
    names = dict.fromkeys((MASKED, *source.nodata), "nodata")
    names.update(zip(source.codes, source.names, strict=True))
    targets = crosswalk.targets()
    total = sum(counts.values())
    rows = [
        CodeShare(code, names.get(code, "unknown code"), targets.get(code), count / total)
        for code, count in counts.items()
        if count
    ]
    return sorted(rows, key=lambda row: (-row.share, row.code))
