"""What a mirror of a run takes."""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mapsr.guard import Guard
from mapsr.settings import choice

logger = logging.getLogger(__name__)


class Logger(Protocol):
    """Takes copies of what a run makes."""

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Show numbers of a training as they come.

        Args:
            step: of the training, from zero or one upwards.
            values: by name, such as "train/loss".
        """
        ...

    def metrics(self, metrics: Mapping[str, object]) -> None:
        """Show numbers; nested mappings are joined by "/", what is not a number is left out."""
        ...

    def picture(self, name: str, path: Path) -> None:
        """Show a picture file."""
        ...

    def confusion(self, counts: NDArray[np.int64], names: Sequence[str]) -> None:
        """Show confusion counts, int64 (C, C + 1) with predictions of nodata last."""
        ...


class LoggerSettings(Protocol):
    """What each choice of the group ``logger`` offers.

    Settings with a field ``group`` show runs of one sweep or table as one.
    """

    def open(
        self, folder: Path, name: str, config: Mapping[str, object]
    ) -> AbstractContextManager[Logger]:
        """Open the mirror of a run; its context closes it whatever happens.

        Args:
            folder: the run folder; what a mirror keeps goes below it.
            name: what the run is called there.
            config: the resolved configuration.

        Raises:
            ConfigError: what the mirror needs is not here.
        """
        ...


@choice("logger", "none")
@dataclass(frozen=True)
class NoLoggerSettings:
    """No mirror: the run folder alone."""

    def open(
        self, folder: Path, name: str, config: Mapping[str, object]
    ) -> AbstractContextManager["NoLogger"]:
        """Open nothing."""
        return nullcontext(NoLogger())


class NoLogger:
    """Takes nothing."""

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Do nothing."""

    def metrics(self, metrics: Mapping[str, object]) -> None:
        """Do nothing."""

    def picture(self, name: str, path: Path) -> None:
        """Do nothing."""

    def confusion(self, counts: NDArray[np.int64], names: Sequence[str]) -> None:
        """Do nothing."""


@contextmanager
def guarded(opening: AbstractContextManager[Logger]) -> Iterator[Logger]:
    """Open a mirror that never decides about the run: its failure is one warning.

    What is wrong before anything has begun, such as lacking credentials, is still an error.

    Args:
        opening: the context of a mirror.
    """
    guard = _GuardedLogger(opening.__enter__())
    failed = True
    try:
        yield guard
        failed = False
    finally:
        what = sys.exc_info() if failed else (None, None, None)
        guard.tell(lambda: opening.__exit__(*what), anyway=True)


class _GuardedLogger:
    """Passes everything on until the mirror fails."""

    def __init__(self, mirror: Logger) -> None:
        self._mirror = mirror
        self._failed = False

    def tell(self, call: Callable[[], object], *, anyway: bool = False) -> None:
        if self._failed and not anyway:
            return
        guard = Guard()
        with guard:
            call()
        if guard.error and not self._failed:
            logger.warning(
                "the mirror of the run failed (%s); the run goes on without it, its folder has "
                "everything",
                guard.error.partition("\n")[0],
            )
        self._failed = self._failed or guard.error is not None

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Pass on; see ``Logger``."""
        self.tell(lambda: self._mirror.step(step, values))

    def metrics(self, metrics: Mapping[str, object]) -> None:
        """Pass on; see ``Logger``."""
        self.tell(lambda: self._mirror.metrics(metrics))

    def picture(self, name: str, path: Path) -> None:
        """Pass on; see ``Logger``."""
        self.tell(lambda: self._mirror.picture(name, path))

    def confusion(self, counts: NDArray[np.int64], names: Sequence[str]) -> None:
        """Pass on; see ``Logger``."""
        self.tell(lambda: self._mirror.confusion(counts, names))


def flatten(metrics: Mapping[str, object], prefix: str = "") -> dict[str, float]:
    """Return the numbers of nested mappings under keys joined by "/"; others are left out."""
    flat: dict[str, float] = {}
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[f"{prefix}{key}"] = value
    return flat
