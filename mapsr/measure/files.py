"""Writing what was measured."""

import json
from pathlib import Path

from mapsr.errors import RasterError
from mapsr.files import write_text
from mapsr.measure.answer import Record


def write_record(out: str, record: Record) -> None:
    """Write a record as indented JSON.

    Raises:
        RasterError: the file can't be written.
    """
    write_file(out, json.dumps(record, indent=2, allow_nan=False) + "\n")


def write_file(out: str, text: str) -> None:
    """Write a text, whole or not at all.

    Raises:
        RasterError: the file can't be written.
    """
    try:
        write_text(Path(out), text)
    except OSError as error:
        raise RasterError(
            f"Can't write {out}: {error.strerror}; choose another name, or fix that."
        ) from error
