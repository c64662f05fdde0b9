"""Soft crosswalks: how much of each class of a target legend the classes of a product hold."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import LegendError, near_match
from mapsr.legends.crosswalk import Crosswalk
from mapsr.legends.legend import NODATA, Legend
from mapsr.legends.yaml_files import read_yaml

logger = logging.getLogger(__name__)

HARD = "hard"
"""Name of the table that a hard crosswalk makes."""

_TABLES = Path(__file__).parent / "soft_crosswalks"
_KEYS: dict[str, type] = {
    "name": str,
    "product": str,
    "target": str,
    "source": str,
    "from_labels": bool,
    "shares": dict,
}
# Published shares have two decimals: a row of C of them may miss one by half of the last each.
_ROUNDING = 0.005


@dataclass(frozen=True)
class SoftCrosswalk:
    """A table of shares p(c | k) from the classes of a product to those of a target legend.

    Raises:
        LegendError: there is not one row for each class of ``source``.
        LegendError: a share is outside [0, 1] or no number.
        LegendError: a row does not sum to 1.
        LegendError: no class of ``source`` gives a share to some class of ``target``.
    """

    name: str
    """Table it comes from; "hard" where a hard crosswalk made it."""
    source: Legend
    """Legend of the product."""
    target: Legend
    """Legend of the map."""
    rows: tuple[tuple[float, ...], ...]
    """Shares by class of the source; an empty row leaves the class out, as nodata."""
    origin: str
    """Where the shares come from."""
    from_labels: bool
    """Whether high-resolution labels stand behind them: a map made with them used labels."""

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.source):
            raise LegendError(
                f"Soft crosswalk '{self.name}' has {len(self.rows)} rows, expected one for each of "
                f"the {len(self.source)} classes of legend '{self.source.name}'."
            )
        for land_class, row in zip(self.source.classes, self.rows, strict=True):
            if row:
                self._check_row(f"class {land_class.code} ({land_class.name})", row)
        dead = [
            name
            for name, most in zip(self.target.names, self.shares.max(0), strict=True)
            if not most
        ]
        if dead:
            raise LegendError(
                f"Soft crosswalk '{self.name}': no class of legend '{self.source.name}' gives a "
                f"share to {', '.join(map(repr, dead))} of legend '{self.target.name}', expected "
                "one for each class: else it could never be mapped; give it a share, or use a "
                "target legend without it."
            )

    @property
    def shares(self) -> NDArray[np.float64]:
        """(K, C), rows summing to one; zeros where a class of the source is left out."""
        table = np.zeros((len(self.rows), len(self.target)))
        for number, row in enumerate(self.rows):
            if row:
                table[number] = np.asarray(row) / sum(row)
        return table

    @property
    def learned(self) -> tuple[int, ...]:
        """Index of each class of the source, 255 where it is left out."""
        return tuple(number if row else NODATA for number, row in enumerate(self.rows))

    @property
    def facts(self) -> dict[str, object]:
        """What a record says of it, ready for JSON."""
        return {"soft_crosswalk": self.name, "soft_crosswalk_from_labels": self.from_labels}

    def _check_row(self, what: str, row: tuple[float, ...]) -> None:
        if len(row) != len(self.target):
            raise LegendError(
                f"Soft crosswalk '{self.name}': {what} has {len(row)} shares, expected one for "
                f"each of the {len(self.target)} classes of legend '{self.target.name}'."
            )
        for share in row:
            if not 0 <= share <= 1:
                raise LegendError(
                    f"Soft crosswalk '{self.name}': {what} has the share {share}, expected a "
                    "number in [0, 1]."
                )
        if abs(sum(row) - 1) > _ROUNDING * len(row) + 1e-9:
            raise LegendError(
                f"Soft crosswalk '{self.name}': the shares of {what} sum to {sum(row):g}, expected "
                "1; correct them."
            )


def soft_names() -> tuple[str, ...]:
    """Return the names of the package's tables; not every product has each."""
    return tuple(sorted({path.stem.rpartition("-")[2] for path in _TABLES.glob("*.yaml")}))


def soften(hard: Crosswalk) -> SoftCrosswalk:
    """Make the table of a hard crosswalk: all of a product's class is its target class.

    Raises:
        LegendError: no class of the product stands for some class of the target.
    """
    size = len(hard.target)
    rows = tuple(
        () if index == NODATA else tuple(float(number == index) for number in range(size))
        for index in hard.table
    )
    return SoftCrosswalk(
        HARD, hard.source, hard.target, rows, f"the hard crosswalk '{hard.name}'", False
    )


def load_soft_crosswalk(name_or_path: str, hard: Crosswalk) -> SoftCrosswalk:
    """Load the table of a product and check it.

    Args:
        name_or_path: a table of the package (``definition``, ``robinson``), ``hard`` for the
            crosswalk itself, or a YAML file of your own.
        hard: from the product to the target legend. Where the package has no such table for the
            two, it stands in, and a warning says so.

    Raises:
        LegendError: there is no such table or file, the file is no such YAML, it is of another
            product or target legend, it lacks a class, it names one that does not exist, or the
            shares contradict each other (see ``SoftCrosswalk``).
    """
    if name_or_path == HARD:
        return soften(hard)
    own = Path(name_or_path)
    if own.suffix in (".yaml", ".yml"):
        if not own.is_file():
            raise LegendError(f"There is no soft crosswalk file {own}; check the path.")
        return _load(own, hard.source, hard.target)
    names = (HARD, *soft_names())
    if name_or_path not in names:
        raise LegendError(
            f"There is no soft crosswalk '{name_or_path}', expected one of {', '.join(names)} or "
            f"a .yaml file of your own.{near_match(name_or_path, names)}"
        )
    path = _TABLES / f"{hard.source.name}-{name_or_path}.yaml"
    if not path.is_file() or read_yaml(path, _KEYS)["target"] != hard.target.name:
        logger.warning(
            "no soft crosswalk '%s' from %s to %s: the hard crosswalk '%s' stands in",
            name_or_path,
            hard.source.name,
            hard.target.name,
            hard.name,
        )
        return soften(hard)
    return _load(path, hard.source, hard.target)


def _load(path: Path, source: Legend, target: Legend) -> SoftCrosswalk:
    entries = read_yaml(path, _KEYS)
    for key, legend in (("product", source), ("target", target)):
        if entries[key] != legend.name:
            raise LegendError(
                f"{path}: '{key}' is '{entries[key]}', expected '{legend.name}', the legend in use."
            )
    table = entries["shares"]
    _check_codes(path, table, source)
    rows = tuple(_row(path, item.code, table[item.code], target) for item in source.classes)
    try:
        return SoftCrosswalk(
            entries["name"], source, target, rows, entries["source"], entries["from_labels"]
        )
    except LegendError as error:
        raise LegendError(f"{path}: {error}") from error


def _check_codes(path: Path, table: Mapping[object, object], source: Legend) -> None:
    codes = [str(code) for code in source.codes]
    for code in table:
        if code not in source.codes:
            raise LegendError(
                f"{path}: code {code!r} is not in legend '{source.name}', expected one of "
                f"{', '.join(codes)}.{near_match(str(code), codes)}"
            )
    missing = [f"{item.code} ({item.name})" for item in source.classes if item.code not in table]
    if missing:
        raise LegendError(
            f"{path}: there are no shares for {', '.join(missing)} of legend '{source.name}', "
            "expected a row for each class, or null to leave it out."
        )


def _row(path: Path, code: int, row: object, target: Legend) -> tuple[float, ...]:
    """Return one row of YAML as shares by target class, those that it does not name zero."""
    if row is None:
        return ()
    if not isinstance(row, dict) or not row:
        raise LegendError(
            f"{path}: code {code} has {row!r}, expected {{target class: share}} or null."
        )
    for name, share in row.items():
        if name not in target.names:
            raise LegendError(
                f"{path}: code {code} names '{name}', expected classes of legend '{target.name}' "
                f"({', '.join(target.names)}).{near_match(str(name), target.names)}"
            )
        if type(share) not in (int, float):
            raise LegendError(f"{path}: code {code} has the share {share!r}, expected a number.")
    return tuple(float(row.get(name, 0)) for name in target.names)
