"""Text that others wrote, such as names of classes and runs, in files that programs read."""

import csv
import io
import re
from collections.abc import Iterable

_FORMULA = tuple("=+-@\t\r")
_MARKS = re.compile(r"[\\`*<>\[\]]")


def csv_cell(value: object) -> object:
    """Return what to write into a cell of a CSV file; numbers stay as they are.

    A spreadsheet takes text that begins with = + - @ for a formula, which may run a program: an
    apostrophe before it makes it text.
    """
    if not isinstance(value, str) or not value.startswith(_FORMULA) or _is_number(value):
        return value
    return f"'{value}"


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as the text of a CSV file, every cell as ``csv_cell`` has it, None as nothing."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerows([csv_cell("" if one is None else one) for one in row] for row in rows)
    return text.getvalue()


def in_markdown(text: str) -> str:
    """Return text that shows as it is in a line of Markdown: no HTML, no links, no line ends."""
    return _MARKS.sub(lambda found: "\\" + found[0], " ".join(text.split()))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
