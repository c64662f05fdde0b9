"""Scenes: which files belong together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Scene:
    """An image with the coarse product and the truth that lie on it."""

    name: str
    """Unique in its data set."""
    image: Path
    """The sharp image, whose grid is the master."""
    coarse: Path | None
    """The coarse product of any CRS, resolution and extent."""
    truth: Path | None
    """Sharp labels of any CRS, resolution and extent; only ever used for scoring."""
    others: tuple[Path, ...] = ()
    """Further coarse products, where only labels on which all products agree are used."""


@dataclass(frozen=True)
class Scenes:
    """The scenes of a data set; one scene may be in both parts."""

    fit: tuple[Scene, ...]
    """Scenes that prompts and models are fitted on."""
    score: tuple[Scene, ...]
    """Scenes that are mapped, and scored where they have truth."""


class DataSettings(Protocol):
    """What each choice of the group ``data`` offers."""

    @property
    def scale(self) -> float:
        """Raw image value that becomes 1."""
        ...

    @property
    def bands(self) -> int | None:
        """How many leading bands to read; None: all."""
        ...

    @property
    def agree(self) -> Sequence[str]:
        """Legends of further coarse products."""
        ...

    def find(self, folder: Path | None = None) -> Scenes | None:
        """Find the scenes, or make them.

        Args:
            folder: for scenes that are made and have no place of their own; None: none is made.

        Returns:
            The scenes; None where they would have to be made and there is no folder.

        Raises:
            DataError: they are not there, or not whole.
        """
        ...
