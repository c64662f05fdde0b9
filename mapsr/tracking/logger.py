"""What a mirror of a run takes."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mapsr.settings import choice


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


def flatten(metrics: Mapping[str, object], prefix: str = "") -> dict[str, float]:
    """Return the numbers of nested mappings under keys joined by "/"; others are left out."""
    flat: dict[str, float] = {}
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[f"{prefix}{key}"] = value
    return flat
