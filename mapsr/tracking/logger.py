"""What a mirror of a run takes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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
        """Show numbers; nested mappings are joined by "/", what is no number is left out."""
        ...

    def picture(self, name: str, path: Path) -> None:
        """Show a picture file."""
        ...

    def confusion(self, counts: NDArray[np.int64], names: Sequence[str]) -> None:
        """Show confusion counts, int64 (C, C + 1) with predictions of nodata last."""
        ...


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
