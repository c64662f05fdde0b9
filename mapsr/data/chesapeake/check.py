"""Whether a copy of the Chesapeake benchmark is whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mapsr.data.chesapeake.splits import PARTS, STATES, folder_name
from mapsr.data.chesapeake.tiles import (
    benchmark_folder,
    missing_layers,
    part_tiles,
    scored_tiles,
    short_by,
)
from mapsr.errors import DataError


@dataclass(frozen=True)
class FolderState:
    """What is known of one folder or list: its name, how many tiles it has, what is wrong."""

    name: str
    tiles: int
    problem: str | None


def examine_chesapeake(root: Path, states: Sequence[str] | None = None) -> list[FolderState]:
    """Look for missing folders, tiles and layers; opens no file.

    Args:
        root: folder that holds cvpr_chesapeake_landcover/, or that folder itself.
        states: to look at; None: those of which there is any folder.

    Returns:
        The three folders of each state and, where there are training tiles, the paper's list.

    Raises:
        DataError: root does not hold a folder of the benchmark.
    """
    root = benchmark_folder(root)
    if states is None:
        states = [
            state
            for state in STATES
            if any((root / folder_name(state, part)).is_dir() for part in PARTS)
        ]
    return [one for state in states for one in _state(root, state)]


def _state(root: Path, state: str) -> Iterator[FolderState]:
    for part in PARTS:
        name = folder_name(state, part)
        if not (root / name).is_dir():
            yield FolderState(name, 0, "absent")
            continue
        tiles = part_tiles(root, state, part)
        missing = missing_layers(tiles)
        problem = None
        if missing:
            problem = f"{len(missing)} file(s) missing, the first {missing[0].name}"
        elif lacking := short_by(tiles, state, part):
            problem = f"{lacking} tile(s) fewer than published lists"
        yield FolderState(name, len(tiles), problem)
    if not (root / folder_name(state, "train")).is_dir():
        return
    listed = f"{state}: tiles of split paper"
    try:
        yield FolderState(listed, len(scored_tiles(root, state, "paper")), None)
    except DataError as error:
        yield FolderState(listed, 0, str(error).partition(", expected")[0])
