"""CSV tables that list scenes: columns image_fn, label_fn, truth_fn."""

import csv
import io
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path

from mapsr.data.scenes import Scene
from mapsr.errors import DataError, near_match
from mapsr.geo.addresses import raster_path

_LOGGER = logging.getLogger(__name__)
_KNOWN = re.compile(r"image_fn|truth_fn|label_fn(_[2-9]|_[1-9]\d+)?")
_STEMS = ("image", "label", "truth")
_ALIKE = 0.85
"""Likeness, 0 to 1, from which on a name counts as mistyped: one letter of six may differ."""

Row = tuple[int, Mapping[str, str]]
"""Number of a line, and its cells by column."""


def read_table(path: Path, products: int | None = None) -> list[Scene]:
    """Return the scenes that a CSV table lists, in its order.

    Args:
        path: with columns image_fn, label_fn (coarse product) and truth_fn, in upper or lower case,
            paths relative to the file's folder, or addresses (https://, s3:// and the like); all
            but image_fn may be empty or absent. Other columns are logged and not read.
        products: how many coarse products there must be, the further ones in columns label_fn_2,
            label_fn_3 and so on, where a row names all of them or none; None reads label_fn alone.

    Raises:
        DataError: the table is missing, can't be read, is not text, is malformed or lists nothing;
            a column is there twice or looks like a mistyped one; or it holds more or fewer
            products.
    """
    labels = ["label_fn", *(f"label_fn_{number}" for number in range(2, (products or 1) + 1))]
    columns, rows = _cells(path)
    if "image_fn" not in columns:
        raise DataError(
            f"{path} has the columns {', '.join(columns) or '(none)'}, expected image_fn and, "
            f"where there are such files, label_fn and truth_fn.{near_match('image_fn', columns)}"
        )
    _require_known(path, columns)
    if products is not None:
        _require_products(path, columns, labels)
    scenes = [_row_scene(path, line, row, labels) for line, row in rows]
    if not scenes:
        raise DataError(f"{path} lists no scene, expected at least one row below the columns.")
    return scenes


def _cells(path: Path) -> tuple[list[str], list[Row]]:
    """Return the columns, trimmed and in lower case, and the rows that are not empty."""
    text = _text(path)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        lines = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file: {error}; correct it.") from error
    header = lines[0][1] if lines else []
    columns = [name.strip().casefold() for name in header]
    named = Counter(name for name in columns if name)
    if twice := [name for name, times in named.items() if times > 1]:
        raise DataError(f"{path} has the column {twice[0]} twice, expected it once; remove one.")
    rows: list[Row] = []
    for number, cells in lines[1:]:
        if any(cell.strip() for cell in cells[len(columns) :]):
            raise DataError(
                f"{path} has {len(cells)} cells in line {number}, expected {len(columns)} as in "
                "the first line: put a path that holds a comma into double quotes."
            )
        rows.append((number, dict(zip(columns, cells, strict=False))))
    return [name for name in columns if name], rows


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"There is no CSV file '{path}'; check the path.") from error
    except OSError as error:
        raise DataError(f"Can't read '{path}': {error.strerror}; check path and rights.") from error
    except ValueError as error:  # NUL, or text that no file system takes
        raise DataError(f"There is no CSV file {str(path)!a}: {error}.") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a CSV file in UTF-8: {error}; save it as such.") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(
            f"{path} holds a NUL character in line {line}, expected text: save it as a CSV file in "
            "UTF-8."
        )
    return text


def _require_known(path: Path, columns: Sequence[str]) -> None:
    """Raise DataError for a column that looks like a mistyped one; log the other unknown ones."""
    unknown = [name for name in columns if not _KNOWN.fullmatch(name)]
    for name in unknown:
        if meant := _meant(name):
            raise DataError(
                f"{path} has the column '{name}', expected image_fn, label_fn or truth_fn. Did you "
                f"mean '{meant}'? Rename it so, or to something else if it is not that."
            )
    if unknown:
        _LOGGER.info("%s: the columns %s are not read", path, ", ".join(unknown))


def _meant(name: str) -> str | None:
    """Return the known column that a name looks like, None where it looks like none."""
    plain = re.sub(r"[^a-z0-9]", "", name)
    stem = re.sub(r"(fn|file|filename|filepath|path|tif|tiff)$|[0-9]+$", "", plain)
    for known in _STEMS:
        alike = max(
            SequenceMatcher(None, plain, f"{known}fn").ratio(),
            SequenceMatcher(None, stem, known).ratio(),
        )
        if alike >= _ALIKE or stem.endswith(known):
            return f"{known}_fn"
    return None


def _require_products(path: Path, columns: Sequence[str], labels: Sequence[str]) -> None:
    """Raise DataError where a table holds more products than are named, or fewer."""
    further = sorted(column for column in columns if re.fullmatch(r"label_fn_\d+", column))
    # a table without products has none of these columns
    if set(further) != set(labels[1:]) and (further or "label_fn" in columns):
        raise DataError(
            f"{path} has {', '.join(further) or 'no column'} for further coarse products, expected "
            f"{', '.join(labels[1:]) or 'no such column'}: data.agree names one legend for each "
            "column after label_fn; correct it or the table."
        )


def _row_scene(path: Path, line: int, row: Mapping[str, str], labels: Sequence[str]) -> Scene:
    """Return the scene of one row of a table."""
    files: dict[str, Path | None] = {}
    for column in ("image_fn", "truth_fn", *labels):
        value = row.get(column, "").strip()
        where = f"{column} in line {line} of {path}"
        files[column] = raster_path(value, where, DataError, path.parent) if value else None
    image = files["image_fn"]
    if image is None:
        raise DataError(f"{path} has no image_fn in line {line}, expected the path of an image.")
    first, *others = (files[column] for column in labels)
    given = tuple(other for other in others if other is not None)
    if len(given) != (len(others) if first else 0):
        missing = [column for column in labels if files[column] is None]
        raise DataError(
            f"{path} has no {', '.join(missing)} in line {line}, expected all of "
            f"{', '.join(labels)} or none of them."
        )
    return Scene(image.stem, image, first, files["truth_fn"], given)
