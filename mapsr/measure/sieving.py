"""A minimum mapping unit: patches that are too small go to their largest neighbour."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapsr.geo import Window, read_tags
from mapsr.geo.stac import one_raster
from mapsr.measure.answer import Record
from mapsr.measure.labels import Labels, open_labels
from mapsr.measure.patches import Patches, Read, find_patches, parts_of
from mapsr.measure.unit import MinimumUnit
from mapsr.measure.writing import require_new, write_labels
from mapsr.progress import Progress, slowly, stage


@dataclass(frozen=True, kw_only=True)
class SieveSettings:
    """What `mapsr sieve` takes."""

    map: str
    """A raster of labels."""
    mmu: str
    """Smallest patch that stays: 0.25ha, or 40px."""
    out: str
    """The raster to write."""
    legend: str | None = None
    """Legend of the map, a name or YAML file; "codes"; null: the map says it."""
    overwrite: bool = False
    """Replace a file that is there."""


def sieve_map(settings: SieveSettings, progress: Progress) -> Record:
    """Write a map in which no patch is smaller than a unit, but for islands in nodata.

    Raises:
        ConfigError: the unit can't be read, or the file can't be.
        MapsrError: the map can't be read, or the file not written.
    """
    out = Path(settings.out)
    path = one_raster(settings.map, "map")
    require_new(out, [path], overwrite=settings.overwrite, suffix=".tif")
    unit = MinimumUnit.read(settings.mmu)
    labels = open_labels([path], settings.legend)
    tags = {**read_tags(path), "MAPSR_MMU": settings.mmu}
    tags = {key: value for key, value in tags.items() if key.startswith("MAPSR_")}
    return write_sieved(labels, unit, out, tags, progress, overwrite=settings.overwrite)


def write_sieved(
    labels: Labels,
    unit: MinimumUnit,
    out: Path,
    tags: dict[str, str],
    progress: Progress,
    *,
    overwrite: bool,
) -> Record:
    """Sieve a map into a file.

    Args:
        labels: the map.
        unit: the smallest patch.
        out: the file.
        tags: how the map was made.
        progress: shows the work.
        overwrite: whether side files of others may be replaced.

    Returns:
        How many patches there were and are.
    """
    grid, least = labels.grid, unit.pixels(labels.grid)

    def read(window: Window) -> NDArray[np.uint8]:
        return labels.read(grid, window)

    patches = find_patches(read, grid, progress)
    with stage(progress, "merge"):
        merged = sieved(patches, read, least)
    parts = slowly(progress, _values(patches, merged, read), "write", len(patches.numbers))
    write_labels(out, grid, labels.legend, parts, tags, overwrite=overwrite)
    kept = np.unique(merged)
    sizes = np.bincount(merged, patches.pixels, len(patches))
    return {
        "map": labels.shown,
        "raster": str(out),
        "least_pixels": least,
        "patches": len(patches),
        "patches_left": len(kept),
        "islands": int((sizes[kept] < least).sum()),
    }


def sieved(patches: Patches, read: Read, least: int) -> NDArray[np.int64]:
    """Say which patch each patch becomes part of: itself, where it is large enough.

    The smallest patch first (of equal ones the one that begins first) goes to its largest neighbour
    and with it counts as one, together with neighbours of that class that it connected. It ends
    when none is smaller than ``least`` pixels, but for those that nodata surrounds.

    Args:
        patches: of the raster.
        read: the raster again.
        least: pixels of the smallest patch that stays.

    Returns:
        int64 (N,); the class of the patch named is that of all that became part of it.
    """
    merge = _Merge(patches, _neighbours(patches, read, least), least)
    waiting = [
        (int(patches.pixels[one]), int(patches.first[one]), int(one))
        for one in np.flatnonzero(patches.pixels < least)
    ]
    heapq.heapify(waiting)
    while waiting:
        size, _, one = heapq.heappop(waiting)
        if merge.root(one) != one or merge.pixels[one] != size:
            continue  # it has grown meanwhile, and waits with its new size
        grown = merge.into_largest(one)
        if grown is not None and merge.pixels[grown] < least:
            entry = merge.pixels[grown], merge.first[grown], grown
            heapq.heappush(waiting, entry)
    return np.array([merge.root(one) for one in range(len(patches))], np.int64)


class _Merge:
    """Patches that become one; neighbours are known of the small ones."""

    def __init__(self, patches: Patches, near: dict[int, set[int]], least: int) -> None:
        self._least = least
        self._into = np.arange(len(patches)).tolist()
        self.pixels, self.first = patches.pixels.tolist(), patches.first.tolist()
        self._classes, self._near = patches.classes.tolist(), near

    def root(self, one: int) -> int:
        """The patch that another one has become part of."""
        path = []
        while self._into[one] != one:
            path.append(one)
            one = self._into[one]
        for passed in path:
            self._into[passed] = one
        return one

    def into_largest(self, one: int) -> int | None:
        """Give a patch to its largest neighbour; return what came of it, None without any."""
        near = {self.root(other) for other in self._near.get(one, ())} - {one}
        if not near:
            return None
        best = max(near, key=lambda other: (self.pixels[other], -self.first[other]))
        kind = self._classes[best]
        # neighbours of that class are connected now
        merged = [one, *(n for n in near if n != best and self._classes[n] == kind)]
        for other in merged:
            self._into[other] = best
            self.pixels[best] += self.pixels[other]
            self.first[best] = min(self.first[best], self.first[other])
        small = self.pixels[best] < self._least
        for other in merged:  # neighbours of what is large enough are not asked for any more
            gone = self._near.pop(other, set())
            if small:
                self._near[best] |= gone
        if not small:
            self._near.pop(best, None)
        return best


def _neighbours(patches: Patches, read: Read, least: int) -> dict[int, set[int]]:
    """The neighbours of each patch that is too small."""
    near: dict[int, set[int]] = {}
    above: NDArray[np.int64] | None = None
    for strip, window in patches.strips():
        here = patches.numbers[strip][parts_of(read(window))]
        pairs = [(here[:, 1:], here[:, :-1]), (here[1:], here[:-1])]
        if above is not None:
            pairs.append((here[:1], above))
        for one, other in pairs:
            apart = (one != other) & (one >= 0) & (other >= 0)
            ends = np.unique(np.stack([one[apart], other[apart]]), axis=1)
            small = (patches.pixels[ends] < least).any(axis=0)
            for first, second in ends[:, small].T.tolist():
                for a, b in ((first, second), (second, first)):
                    if patches.pixels[a] < least:
                        near.setdefault(a, set()).add(b)
        above = here[-1:]
    return near


def _values(
    patches: Patches, merged: NDArray[np.int64], read: Read
) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
    classes = np.append(patches.classes[merged], np.uint8(255))  # -1: nodata
    for strip, window in patches.strips():
        yield window, classes[patches.numbers[strip][parts_of(read(window))]]
