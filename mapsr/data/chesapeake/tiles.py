"""The Chesapeake benchmark: 1 m images, NLCD as the coarse product, 1 m truth, in six states.

Source: Robinson et al. 2019, doi:10.1109/cvpr.2019.01301.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from mapsr.data.chesapeake.splits import (
    FOLDER,
    LEAST_TILES,
    PAPER_TILES,
    PARTS,
    SPLITS,
    STATES,
    folder_name,
)
from mapsr.data.scenes import Scene, Scenes
from mapsr.errors import ConfigError, DataError, require_choice, require_range
from mapsr.settings import aside, choice

_LOGGER = logging.getLogger(__name__)
_FILE = re.compile(r"(m_\d+_(?:nw|ne|sw|se)_\d+_1)_(.+)\.tif")
_IMAGES = ("naip-new", "naip-old")
_COARSE, _TRUTH = "nlcd", "lc"

Item = TypeVar("Item")


@choice("data", "chesapeake")
@dataclass(frozen=True)
class ChesapeakeSettings:
    """Tiles of the Chesapeake benchmark, as its archive holds them.

    Scenes to fit on come from the training folders and are never scored tiles of the split, unless
    fit_scored says so.

    Raises:
        ConfigError: a state, the split or the image layer is unknown (the nearest one is named), no
            state or one twice is given, or a number is out of range.
    """

    root: str = aside("???")
    """Folder that holds cvpr_chesapeake_landcover/, or that folder itself."""
    states: tuple[str, ...] = ("ny",)
    """States to score: de, md, ny, pa, va, wv. New York is the one whose list of training tiles is
    published, and one state is one column of the paper's table."""
    split: str = "paper"
    """Which tiles are scored: "paper", the ten per state that MapSR lists; "official", the test
    folders; "official_val", the validation folders."""
    fit_states: tuple[str, ...] | None = None
    """States to fit on; null: those that are scored. The paper fits on [ny] for all six."""
    fit_tiles: int | None = None
    """At most so many tiles to fit on, drawn evenly from their sorted list; null: all."""
    fit_scored: bool = False
    """Fit on the scored tiles too, by their coarse labels alone, which transductive=true allows:
    the paper trains its weakly supervised baselines on all coarse labels that there are."""
    score_tiles: int | None = None
    """At most so many tiles to score, drawn evenly from their sorted list; null: all."""
    image: str = "naip-new"
    """Layer of the image: "naip-new" or "naip-old"."""
    bands: int | None = None
    """How many leading bands to read of red, green, blue and near infrared; null: all."""
    scale: float = 255.0
    """Raw value that becomes 1."""
    agree: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require_choice(self.split, SPLITS, "data.split")
        require_choice(self.image, _IMAGES, "data.image")
        object.__setattr__(self, "states", require_states(self.states, "data.states"))
        if self.fit_states is not None:
            chosen = require_states(self.fit_states, "data.fit_states")
            object.__setattr__(self, "fit_states", chosen)
        for key in ("fit_tiles", "score_tiles", "bands"):
            if (value := getattr(self, key)) is not None:
                require_range(value, f"data.{key}", low=1)
        require_range(self.scale, "data.scale", open_low=True)

    def find(self, folder: Path | None = None) -> Scenes:
        """Find the tiles; see ``find_chesapeake``."""
        return find_chesapeake(self)


@dataclass(frozen=True)
class Tile:
    """A tile of the benchmark: its name, such as m_3807523_ne_18_1, state and folder."""

    name: str
    state: str
    folder: Path

    def layer(self, layer: str) -> Path:
        """Return the file of a layer, such as "lc"."""
        return self.folder / f"{self.name}_{layer}.tif"


def require_states(states: Iterable[str], what: str) -> tuple[str, ...]:
    """Return the states as a tuple.

    Raises:
        ConfigError: there is none, one is unknown, or one is there twice.
    """
    chosen = tuple(require_choice(state, STATES, what) for state in states)
    if not chosen or len(set(chosen)) != len(chosen):
        raise ConfigError(
            f"{what} is [{', '.join(chosen)}], expected each of one or more of "
            f"{', '.join(STATES)} once."
        )
    return chosen


def find_chesapeake(settings: ChesapeakeSettings) -> Scenes:
    """Find the tiles to fit on and to score, sorted by state as given and by name.

    Scenes are called as their tiles; a tile that several states have gets the state's name behind
    it.

    Raises:
        DataError: root does not hold a folder of the benchmark; the folder of a state is missing; a
            listed tile or a layer of a tile is missing; no tile is left to fit on or to score; or a
            tile is both fitted on and scored.
    """
    root = benchmark_folder(Path(settings.root))
    fit_states = settings.fit_states or settings.states
    scored = [
        tile for state in settings.states for tile in scored_tiles(root, state, settings.split)
    ]
    held_out = _held_out(root, settings.split, (*settings.states, *fit_states))
    held_out |= {tile.name for tile in scored}
    fitted = [tile for state in fit_states for tile in part_tiles(root, state, "train")]
    if settings.fit_scored:
        fitted += [tile for tile in scored if tile not in fitted and tile.state in fit_states]
    else:
        fitted = [tile for tile in fitted if tile.name not in held_out]
    for what, tiles in (("to fit on", fitted), ("to score", scored)):
        if not tiles:
            raise DataError(
                f"{root} does not hold a tile {what} for data.split={settings.split}, expected "
                "some in its folders; fetch them again, or choose other states."
            )
    fit = _scenes(_evenly(fitted, settings.fit_tiles), settings.image)
    score = _scenes(_evenly(scored, settings.score_tiles), settings.image)
    if not settings.fit_scored:
        _require_apart(fit, score)
    _warn_if_short(root, fit_states, "train")
    if (part := SPLITS[settings.split]) is not None:
        _warn_if_short(root, settings.states, part)
    return Scenes(fit, score)


def benchmark_folder(root: Path) -> Path:
    """Return the folder that holds the folders of the states: root, or one below it.

    Raises:
        DataError: neither holds any of them.
    """
    for folder in (root, root / FOLDER):
        if any((folder / folder_name(state, part)).is_dir() for state in STATES for part in PARTS):
            return folder
    raise DataError(
        f"data.root is '{root}', expected a folder with the Chesapeake benchmark, such as "
        f"{folder_name('ny', 'train')}/; name it, or fetch the data with `mapsr data fetch "
        f"chesapeake root={root}`."
    )


def part_tiles(root: Path, state: str, part: str) -> list[Tile]:
    """Return the tiles of a state's train, val or test folder, sorted by name.

    Args:
        root: as ``benchmark_folder`` returns it.
        state: such as "ny".
        part: "train", "val" or "test".

    Raises:
        DataError: the folder is missing.
    """
    folder = root / folder_name(state, part)
    if not folder.is_dir():
        raise DataError(
            f"{root} lacks {folder.name}, expected the {part} tiles of '{state}' there; fetch them "
            f"with `mapsr data fetch chesapeake root={root} states={state}`."
        )
    names = {match[1] for path in folder.iterdir() if (match := _FILE.fullmatch(path.name))}
    return [Tile(name, state, folder) for name in sorted(names)]


def scored_tiles(root: Path, state: str, split: str) -> list[Tile]:
    """Return the tiles of a state that a split scores, sorted by name.

    Raises:
        DataError: a folder, or a tile that the split lists, is missing.
    """
    part = SPLITS[split]
    if part is not None:
        return part_tiles(root, state, part)
    listed = PAPER_TILES[state]
    found = {tile.name: tile for part in PARTS for tile in _present(root, state, part)}
    if missing := [name for name in listed if name not in found]:
        raise DataError(
            f"{len(missing)} of the {len(listed)} tiles that split '{split}' lists for '{state}' "
            f"are missing, the first {missing[0]}, expected in {root / folder_name(state, 'train')}"
            f"; the data set is only half there: {_mend(root, state)}"
        )
    return [found[name] for name in sorted(listed)]


def short_by(tiles: Sequence[Tile], state: str, part: str) -> int:
    """Return how many tiles a state's part lacks to those that published lists name at least."""
    return max(0, LEAST_TILES.get((state, part), 0) - len(tiles))


def missing_layers(tiles: Iterable[Tile], image: str = _IMAGES[0]) -> list[Path]:
    """Return the files of image, coarse product and truth that are not there."""
    layers = (image, _COARSE, _TRUTH)
    every = (tile.layer(layer) for tile in tiles for layer in layers)
    return [path for path in every if not path.is_file()]


def _present(root: Path, state: str, part: str) -> list[Tile]:
    """Return the tiles of a folder; only training folders must be there."""
    absent = part != "train" and not (root / folder_name(state, part)).is_dir()
    return [] if absent else part_tiles(root, state, part)


def _held_out(root: Path, split: str, states: Iterable[str]) -> set[str]:
    """Return the names of all tiles that may never be fitted on, whichever are scored this time.

    Names, not files: neighbouring states may hold one tile each of the same ground.
    """
    part = SPLITS[split]
    if part is None:
        return {name for listed in PAPER_TILES.values() for name in listed}
    return {tile.name for state in states for tile in _present(root, state, part)}


def _scenes(tiles: Sequence[Tile], image: str) -> tuple[Scene, ...]:
    """Turn tiles into scenes with unique names."""
    if missing := missing_layers(tiles, image):
        state = next(tile.state for tile in tiles if tile.folder == missing[0].parent)
        raise DataError(
            f"{len(missing)} file(s) of tiles are missing, the first {missing[0]}, expected the "
            f"layers {image}, {_COARSE} and {_TRUTH} of each tile; the data set is only half "
            f"there: {_mend(missing[0].parent.parent, state)}"
        )
    times = Counter(tile.name for tile in tiles)
    return tuple(
        Scene(
            tile.name if times[tile.name] == 1 else f"{tile.name}_{tile.state}",
            tile.layer(image),
            tile.layer(_COARSE),
            tile.layer(_TRUTH),
        )
        for tile in tiles
    )


def _warn_if_short(root: Path, states: Iterable[str], part: str) -> None:
    """Warn where a folder in use holds fewer tiles than published work found in it."""
    for state in states:
        tiles = part_tiles(root, state, part)
        if lacking := short_by(tiles, state, part):
            _LOGGER.warning(
                "%s holds %d tiles, %d fewer than published lists: what is computed on them can't "
                "be compared with published numbers.",
                root / folder_name(state, part),
                len(tiles),
                lacking,
            )


def _mend(root: Path, state: str) -> str:
    return (
        f"remove its damaged folder and run `mapsr data fetch chesapeake root={root} "
        f"states={state}`."
    )


def _evenly(items: Sequence[Item], most: int | None) -> Sequence[Item]:
    """Return at most ``most`` items, drawn evenly."""
    if most is None or len(items) <= most:
        return items
    return [items[index * len(items) // most] for index in range(most)]


def _require_apart(fit: Iterable[Scene], score: Iterable[Scene]) -> None:
    """Raise DataError where a file is both fitted on and scored, under whatever name."""
    scored = {scene.image.resolve() for scene in score}
    if both := [scene for scene in fit if scene.image.resolve() in scored]:
        raise DataError(
            f"{both[0].image} is fitted on and, under this or another name, scored as well, as "
            f"are {len(both) - 1} more; expected no tile in both: put the archive's "
            "own files there."
        )
