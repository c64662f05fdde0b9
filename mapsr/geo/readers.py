"""Images that stay open: of one raster, or of many on a common grid."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import CRSError
from rasterio.warp import transform_bounds

from mapsr.errors import RasterError
from mapsr.geo.grids import MOST_PX, MOST_SIDE_PX, Grid, crs_name, grid_of, require_size
from mapsr.geo.opening import Handles, open_raster
from mapsr.geo.rasters import read_open_image
from mapsr.geo.sources import listed_files
from mapsr.geo.warping import Pixels, read_warped, window_of
from mapsr.geo.windows import Window

_ALIGNED_PX = 1e-3
"""Pixels that the grids of two images may be apart and still count as one."""
_SPARSE_PX = 1 << 36
"""Pixels of a mosaic that may be empty whatever it holds: 262 km squared at 1 m."""
_COVERED = 1e-3
"""Part of a larger mosaic that its images must cover."""


@dataclass(frozen=True)
class ImageInfo:
    """What a file says of an image.

    Attributes:
        path: the file.
        grid: where it lies.
        bands: how many bands it has.
        dtype: NumPy's name of its values' type.
        block: height and width of the blocks that it is stored in, in pixels.
        files: all files that its content and place depend on; see ``source_files``.
    """

    path: Path
    grid: Grid
    bands: int
    dtype: str
    block: tuple[int, int]
    files: tuple[Path, ...]

    def strip_mib(self, chip: int) -> int:
        """MiB of whole rows that a row of chips lies on; 0 where the file is tiled."""
        high, wide = self.block
        if wide < self.grid.width or self.grid.width <= 2 * chip:
            return 0
        rows = min(self.grid.height, chip + 2 * high)
        return rows * wide * self.bands * np.dtype(self.dtype).itemsize >> 20


def image_info(path: Path) -> ImageInfo:
    """Return what a file says of an image.

    Raises:
        RasterError: the file can't be read, has no place or CRS, is rotated, is larger than any
            image, or is a VRT of files that are not there or not opened.
    """
    with open_raster(path) as dataset:
        height, width = dataset.block_shapes[0]
        grid = grid_of(dataset, path)
        require_size(grid, path)
        files = listed_files(path, dataset.files)
        return ImageInfo(path, grid, dataset.count, dataset.dtypes[0], (height, width), files)


@contextmanager
def block_cache(mib: int) -> Iterator[None]:
    """Let GDAL keep at most so many MiB of blocks in memory, in all threads of the process."""
    with rasterio.Env(GDAL_CACHEMAX=mib << 20):
        yield


def read_tags(path: Path) -> dict[str, str]:
    """Return the tags of a raster; none where it can't be read."""
    try:
        with open_raster(path) as dataset:
            return {str(key): str(value) for key, value in dataset.tags().items()}
    except RasterError:
        return {}


def read_class_names(path: Path) -> tuple[str, ...]:
    """Return the class names that a label map of ``write_cog`` holds, by index; () without any.

    Raises:
        RasterError: the file can't be read.
    """
    with open_raster(path) as dataset:
        tags = dataset.tags(1)
    names: list[str] = []
    while (key := f"CLASS_{len(names)}") in tags:
        names.append(str(tags[key]))
    return tuple(names)


class ImageReader:
    """Reads windows of an image, from any thread; see ``Pool`` for the files that are open.

    It may be sent to another process, which opens the file again.

    Args:
        info: of the image.
        bands: how many leading bands to read; None: all.
        scale: raw value that becomes 1.
    """

    def __init__(self, info: ImageInfo, bands: int | None, scale: float) -> None:
        self.info = info
        self.grid = info.grid
        self._bands = bands
        self._scale = scale
        self._open = Handles()

    def touches(self, window: Window) -> bool:
        """Tell whether the image reaches into a window: always, inside its grid."""
        return True

    def strip_mib(self, chip: int) -> int:
        """Memory for blocks that a row of chips needs; see ``ImageInfo``."""
        return self.info.strip_mib(chip)

    def read(self, window: Window) -> Pixels:
        """Read a window.

        Raises:
            RasterError: the file can't be read, has too few bands, or the window reaches outside.
        """
        path = self.info.path
        with self._open.open(path) as dataset:
            return read_open_image(dataset, path, window, self._bands, self._scale)


class MosaicReader:
    """Reads windows of a grid from all images that lie there; the first valid one counts.

    Images on the grid's pixels are read as they are, others are warped (bilinear; exact
    projection, so that a pixel does not depend on the window that it is read in).

    Args:
        infos: of the images, in order of preference; they need the same number of bands.
        bands: how many leading bands to read; None: all.
        scale: raw value that becomes 1.

    Raises:
        RasterError: numbers of bands differ, or an image can't be projected to the others.
    """

    def __init__(self, infos: Sequence[ImageInfo], bands: int | None, scale: float) -> None:
        self._bands = bands if bands is not None else infos[0].bands
        for info in infos:
            if bands is None and info.bands != self._bands:
                raise RasterError(
                    f"{info.path} has {info.bands} band(s), {infos[0].path} has {self._bands}: a "
                    "mosaic needs the same number; say how many leading ones to read."
                )
        self.infos = tuple(infos)
        self._scale = scale
        self._open = Handles()
        self.grid = common_grid(infos)
        self._places = [_place(info.grid, self.grid, info.path) for info in infos]

    def touches(self, window: Window) -> bool:
        """Tell whether any image reaches into a window."""
        return any(place.intersect(window) for place in self._places)

    def strip_mib(self, chip: int) -> int:
        """Memory for blocks that a row of chips needs; see ``ImageInfo``."""
        return max(info.strip_mib(chip) for info in self.infos)

    def read(self, window: Window) -> Pixels:
        """Read a window of the common grid.

        Raises:
            RasterError: a file can't be read, or has too few bands.
        """
        image = np.zeros((self._bands, window.height, window.width), np.float32)
        valid = np.zeros((window.height, window.width), bool)
        for info, place in zip(self.infos, self._places, strict=True):
            common = place.intersect(window)
            if common is None or valid.all():
                continue
            with self._open.open(info.path) as dataset:
                values, good = self._part(dataset, info, common)
            rows, columns = common.relative_to(window).slices
            new = good & ~valid[rows, columns]
            image[:, rows, columns][:, new] = values[:, new]
            valid[rows, columns] |= new
        return image, valid

    def _part(self, dataset: rasterio.DatasetReader, info: ImageInfo, window: Window) -> Pixels:
        """Read a window of the common grid from one image."""
        shift = _shift(info.grid, self.grid)
        if shift is not None:
            inside = window.shifted(*shift)
            return read_open_image(dataset, info.path, inside, self._bands, self._scale)
        return read_warped(
            dataset, info.path, info.grid, self.grid, window, self._bands, self._scale
        )


def common_grid(infos: Sequence[ImageInfo]) -> Grid:
    """The grid over all images: the CRS that most have, pixels of the first in it.

    Raises:
        RasterError: an image can't be projected to that CRS.
        RasterError: the grid would be larger than any image, or large and almost empty: the message
            names the image that lies farthest from the others.
    """
    crs, _ = Counter(info.grid.crs for info in infos).most_common(1)[0]
    first = next(info.grid for info in infos if info.grid.crs == crs)
    # the whole plane in pixels of the first image: windows may be negative until the crop
    places = [_place(info.grid, first, info.path, cut=False) for info in infos]
    top, left = min(place.row for place in places), min(place.col for place in places)
    bottom = max(place.row + place.height for place in places)
    right = max(place.col + place.width for place in places)
    whole = first.crop(Window(top, left, bottom - top, right - left))
    _require_near(infos, places, whole)
    return whole


def _require_near(infos: Sequence[ImageInfo], places: Sequence[Window], whole: Grid) -> None:
    """Refuse a mosaic that a wrong place of one image makes huge."""
    covered = sum(place.area for place in places)
    empty = whole.window.area > _SPARSE_PX and covered < _COVERED * whole.window.area
    beyond = max(whole.height, whole.width) > MOST_SIDE_PX or whole.window.area > MOST_PX
    if len(infos) == 1 or not (empty or beyond):
        return
    centres = np.array([(p.row + p.height / 2, p.col + p.width / 2) for p in places])
    others = [np.median(np.delete(centres, index, 0), axis=0) for index in range(len(infos))]
    away = np.abs(centres - others).max(axis=1)
    far = int(away.argmax())
    raise RasterError(
        f"{infos[far].path} lies {away[far]:.0f} pixels from the middle of the "
        f"{len(infos) - 1} other(s), so that the mosaic would be {whole.height} x {whole.width} "
        f"pixels, {covered / whole.window.area:.1g} of them covered: correct its reference system "
        f"({crs_name(infos[far].grid.crs)}) with gdal_edit.py -a_srs EPSG:CODE, or map it alone."
    )


def _place(grid: Grid, onto: Grid, path: Path, *, cut: bool = True) -> Window:
    """The window of a grid that another grid covers."""
    shift = _shift(onto, grid)
    if shift is not None:
        place = grid.window.shifted(*shift)
    else:
        try:
            bounds = transform_bounds(grid.crs, onto.crs, *grid.bounds, densify_pts=21)
        except CRSError as error:
            raise RasterError(f"{path} can't be projected to {onto.crs}: {error}.") from error
        if not np.isfinite(bounds).all():
            raise RasterError(
                f"{path} can't be projected to {onto.crs}, where the mosaic lies: map it alone."
            )
        place = window_of(bounds, onto)
    inside = place.intersect(onto.window) if cut else place
    if inside is None:
        raise RuntimeError("the common grid covers every image")
    return inside


def _shift(onto: Grid, grid: Grid) -> tuple[int, int] | None:
    """Rows and columns from pixels of ``grid`` to those of ``onto``; None: not the same pixels."""
    if grid.crs != onto.crs:
        return None
    a, e = onto.transform.a, onto.transform.e
    drift = max(
        abs(grid.transform.a / a - 1) * grid.width, abs(grid.transform.e / e - 1) * grid.height
    )
    columns, rows = (
        (grid.transform.c - onto.transform.c) / a,
        (grid.transform.f - onto.transform.f) / e,
    )
    apart = max(abs(columns - round(columns)), abs(rows - round(rows)))
    return (round(rows), round(columns)) if max(drift, apart) <= _ALIGNED_PX else None
