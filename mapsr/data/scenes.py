"""Scenes: which files belong together."""

from dataclasses import dataclass
from pathlib import Path


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
