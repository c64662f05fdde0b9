"""Text that others wrote, such as names of classes and runs, in files that programs read."""

import re

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


def in_markdown(text: str) -> str:
    """Return text that shows as it is in a line of Markdown: no HTML, no links, no line ends."""
    return _MARKS.sub(lambda found: "\\" + found[0], " ".join(text.split()))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
