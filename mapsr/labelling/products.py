"""Historical products: what they are, and which class each of their values votes for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mapsr.errors import ConfigError

ANY = "*"
"""Value of a tag that any value of its key meets."""
LEAST_BUFFER_M = 0.1
"""Metres; a narrower buffer is most likely meant in degrees."""
MOST_BUFFER_M = 1000.0
"""Metres."""


@dataclass(frozen=True)
class RasterSource:
    """A product whose pixels hold codes."""

    paths: tuple[Path, ...]
    """Files of any CRS, resolution and extent; where several have a value, the first one counts."""
    values: Mapping[int, tuple[str, ...]]
    """Classes that each code votes for; none where it is known and has no class."""
    nodata: frozenset[int] = frozenset()
    """Codes that mean "not mapped here", besides what the files declare."""

    def targets(self) -> dict[str, bool]:
        """Return the classes that it votes for: complex or not, see ``Product.targets``."""
        return _complex(self.values.values())

    def merged(self) -> tuple[tuple[str, ...], ...]:
        """Return its classes, those together that it can't tell apart; see ``Product.merged``."""
        return _merged(self.values.items())


@dataclass(frozen=True)
class Tag:
    """Features of one value of one key: their classes and their buffer.

    Raises:
        ConfigError: the buffer is neither 0 nor a plausible number of metres.
    """

    key: str
    """Column of the layer."""
    value: str
    """What the column holds; "*": anything but nothing, "no" and an empty text."""
    targets: tuple[str, ...]
    """Classes that it votes for."""
    buffer_m: float = 0.0
    """Metres on each side of a line or around a point; 0 for areas. A road of 3 m has 1.5."""

    def __post_init__(self) -> None:
        if self.buffer_m != 0 and not LEAST_BUFFER_M <= self.buffer_m <= MOST_BUFFER_M:
            raise ConfigError(
                f"The buffer of {self} is {self.buffer_m:g}, expected 0 or metres from "
                f"{LEAST_BUFFER_M:g} to {MOST_BUFFER_M:g} on each side, never degrees."
            )

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


@dataclass(frozen=True)
class Layer:
    """The features of one layer of a vector file that vote."""

    name: str | None
    """Name in the file; None: its only layer."""
    tags: tuple[Tag, ...]
    """Which features vote for what; a feature may meet several."""
    may_lack: frozenset[str] = frozenset()
    """Keys that the file need not have as columns: their tags then vote nowhere."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns that the tags look at, each once."""
        return tuple(dict.fromkeys(tag.key for tag in self.tags))

    @property
    def around_m(self) -> float:
        """The widest buffer in metres."""
        return max(tag.buffer_m for tag in self.tags)


@dataclass(frozen=True)
class VectorSource:
    """A product whose features have tags, as OpenStreetMap's."""

    paths: tuple[Path, ...]
    """Files of any OGR format and CRS; all of them count."""
    layers: tuple[Layer, ...]
    """Layers that vote, the same ones in each file."""

    def targets(self) -> dict[str, bool]:
        """Return the classes that it votes for: complex or not, see ``Product.targets``."""
        found: dict[str, bool] = {}
        for layer in self.layers:
            for target, several in _complex(tag.targets for tag in layer.tags).items():
                found[target] = found.get(target, False) or several
        return found

    def merged(self) -> tuple[tuple[str, ...], ...]:
        """Return its classes, those together that it can't tell apart; see ``Product.merged``."""
        tags = [tag for layer in self.layers for tag in layer.tags]
        return _merged((number, tag.targets) for number, tag in enumerate(tags))


@dataclass(frozen=True)
class Product:
    """A historical land-cover product."""

    name: str
    """Short name, unique in its registry."""
    source: RasterSource | VectorSource
    """Where its votes come from."""
    title: str = ""
    """Name for people."""
    thematic: bool = False
    """Maps one theme (buildings, impervious land) rather than all land cover."""
    reference: int | None = None
    """Year that it shows; None: unknown."""
    resolution_m: float | None = None
    """Pixel size in metres; None: unknown, or vectors."""
    accuracy: float | None = None
    """Published accuracy in percent; None: unknown."""
    measure: str = ""
    """What the accuracy is: OA, F1 and so on."""
    licence: str = ""
    """Under which it may be used."""
    level: int | None = None
    """1 (most trusted) to 3; None: as suggested by the rule of ``levels``."""
    weight: int | None = None
    """Tenths of its vote; None: that of its level."""

    def targets(self) -> dict[str, bool]:
        """Return the classes that it votes for, and whether its prompt of each is complex.

        A prompt is complex where some value that votes for the class votes for another too.
        """
        return self.source.targets()

    def merged(self) -> tuple[tuple[str, ...], ...]:
        """Return its classes in groups: those of a group are voted for by the same values alone.

        Built-up land that stands for buildings, roads and other impervious land is one group; most
        classes are a group of their own.
        """
        return self.source.merged()


def _merged(mapping: Iterable[tuple[int, tuple[str, ...]]]) -> tuple[tuple[str, ...], ...]:
    voters: dict[str, set[int]] = {}
    for value, targets in mapping:
        for target in targets:
            voters.setdefault(target, set()).add(value)
    groups: dict[frozenset[int], list[str]] = {}
    for target, values in voters.items():
        groups.setdefault(frozenset(values), []).append(target)
    return tuple(map(tuple, groups.values()))


def _complex(mapping: Iterable[tuple[str, ...]]) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for targets in mapping:
        for target in targets:
            found[target] = found.get(target, False) or len(targets) > 1
    return found
