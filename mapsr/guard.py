"""A context that keeps an error for a report, so that what comes next goes on."""

import traceback
from types import TracebackType
from typing import Self

from mapsr.errors import MapsrError


class Guard:
    """A context that keeps an error for a report, so that what comes next goes on.

    An interrupt from the keyboard, or an exit, is not an error, and passes.

    Args:
        passes: errors of this kind pass too.

    Attributes:
        error: what was raised inside, in a sentence; None after success.
        kind: its class.
        trace: its Python trace.
    """

    def __init__(self, passes: type[Exception] | tuple[type[Exception], ...] = ()) -> None:
        self._passes = passes
        self.error: str | None = None
        self.kind: type[Exception] | None = None
        self.trace: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception) or isinstance(error, self._passes):
            return False
        name = "" if isinstance(error, MapsrError) else f"{type(error).__name__}: "
        self.error = f"{name}{error}"
        self.kind = type(error)
        self.trace = "".join(traceback.format_exception(error))
        return True
