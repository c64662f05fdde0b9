"""What `mapsr map` will do with given rasters, or what is wrong with them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mapsr.doctor.coarse import coarse_findings
from mapsr.doctor.estimate import work_findings
from mapsr.errors import MapsrError
from mapsr.findings import Finding, evenly, percent, pixels
from mapsr.geo import ImageInfo, block_cache
from mapsr.geo.examination import Look, center_deg, crs_name, ground_size_m, look
from mapsr.methods import FittedMethod, ImageFacts
from mapsr.region import Image, Images, MapSettings
from mapsr.region.checks import usable

_CACHE_MIB = 64
"""What is kept of files' blocks; GDAL's own choice is a part of the machine's memory."""
_LOOKED_AT = 8
"""Images of many whose pixels are looked at, drawn evenly."""
_TOLD = 5
"""Images that can't be used that are told one by one."""
_WIDE_PX = 8192
"""From this width on, rows that are stored whole cost noticeably more than tiles."""
_BYTE_SCALE = 255.0
# greatest usual value -> the scale that it suggests; more: the whole range of uint16
_SCALES = ((1.5, 1.0), (255.0, 255.0), (12_000.0, 10_000.0))
_WHOLE_RANGE = 65_535.0
_DARK = 0.02
"""An image whose brightest values are below this part of the scale is all but black."""


@dataclass(frozen=True)
class _Values:
    """Least, lower, upper and greatest value of valid pixels, and the share that is clipped."""

    least: float
    low: float
    high: float
    most: float
    clipped: Callable[[float], float]

    @staticmethod
    def of(looks: Sequence[Look]) -> "_Values":
        every = np.concatenate([one.values.ravel() for one in looks])
        low, high = np.percentile(every, (1, 99))

        def clipped(scale: float) -> float:
            return float(((every < 0) | (every > scale)).mean())

        return _Values(float(every.min()), float(low), float(high), float(every.max()), clipped)

    @property
    def suggested(self) -> float:
        return next((scale for limit, scale in _SCALES if self.high <= limit), _WHOLE_RANGE)


def examine(
    images: Images,
    settings: MapSettings,
    fitted: FittedMethod | None = None,
    *,
    timing: bool = True,
    start_seconds: float = 0.0,
) -> Iterator[Finding]:
    """Say what `mapsr map` will do with images and their coarse product.

    Whatever the size of the rasters, only some of their pixels are read; the memory is that of
    ``look``, ``count_codes`` and, with ``timing``, of one chip.

    Args:
        images: that were found.
        settings: of the command.
        fitted: the method; None: it is to be fitted.
        timing: score a chip to measure time and memory.
        start_seconds: that a command takes before it looks at the first image.

    Yields:
        What was found, in the order in which `mapsr map` would need it.

    Raises:
        LegendError: the legends or the crosswalk can't be loaded.
    """
    with block_cache(_CACHE_MIB):
        yield from _examine(images, settings, fitted, timing, start_seconds)


def _examine(
    images: Images,
    settings: MapSettings,
    fitted: FittedMethod | None,
    timing: bool,
    start_seconds: float,
) -> Iterator[Finding]:
    images = usable(images, settings, fitted.image if fitted else None)
    yield from _which(images, settings)
    good = [image for image in images.every if image.error is None]
    infos = [image.info for image in good if image.info]
    if not infos:
        return
    bands = settings.bands or (fitted and fitted.image.bands) or infos[0].bands
    yield from _file(infos[0])
    looks: list[Look] = []
    for info in evenly(infos, _LOOKED_AT):
        try:
            looks.append(look(info.path, bands))
        except MapsrError as error:
            yield Finding("image", f"{info.path} can't be read", str(error))
    if not looks:
        return
    yield from _bands(looks[0], bands)
    yield _valid(looks, len(infos))
    scale = settings.scale or (fitted.image.scale if fitted else None)
    if any(one.values.size for one in looks):
        values = _Values.of(looks)
        reason = "as given" if settings.scale else "as the method was fitted"
        yield from _scale(values, infos[0].dtype, scale, reason)
        scale = scale or (_BYTE_SCALE if infos[0].dtype == "uint8" else values.suggested)
    if fitted is None:
        yield from _fitting(good, settings)
    facts = ImageFacts(scale or _BYTE_SCALE, bands, infos[0].dtype)
    yield from work_findings(
        infos, settings, facts, fitted, timing=timing, start_seconds=start_seconds
    )


def _fitting(good: Sequence[Image], settings: MapSettings) -> Iterator[Finding]:
    """What a method would be fitted on."""
    if settings.learns_from_truth:
        remedy = "choose another prompts= or method=, or use `mapsr run`"
        yield Finding("method", "it learns from truth, and `mapsr map` has none", remedy)
    if any(image.coarse for image in good):
        yield from coarse_findings(good, settings.legend)
    else:
        yield Finding(
            "coarse", "none given: `mapsr map` needs fitted=RUN, or coarse=PRODUCT to fit on"
        )


def _which(images: Images, settings: MapSettings) -> Iterator[Finding]:
    """Which images there are, which of them can't be used, and in what they differ."""
    bad = [image for image in images.every if image.error is not None]
    infos = [image.info for image in images.every if image.info and image.error is None]
    if not images.single:
        total = len(images.every)
        size = pixels(sum(info.grid.window.area for info in infos))
        text = f"{settings.image}: {total}, of which {len(infos)} can be used, {size}"
        yield Finding("images", text)
    for image in bad[:_TOLD]:
        yield Finding("image", f"{image.path} can't be used", str(image.error))
    if len(bad) > _TOLD:
        more = len(bad) - _TOLD
        yield Finding("image", f"{more} more can't be used", "fix the others, and look again")
    for what, counts in (
        ("reference systems", Counter(crs_name(info.grid.crs) for info in infos)),
        ("types of values", Counter(info.dtype for info in infos)),
        ("numbers of bands", Counter(str(info.bands) for info in infos)),
    ):
        if len(counts) > 1:
            listed = ", ".join(f"{value} ({times})" for value, times in counts.most_common(_TOLD))
            yield Finding("images", f"{len(counts)} {what}: {listed}")


def _file(info: ImageInfo) -> Iterator[Finding]:
    """What a file is, before any pixel is read."""
    grid = info.grid
    text = (
        f"{info.path}: {grid.height} x {grid.width} px (rows x columns, "
        f"{pixels(grid.window.area)}), {info.bands} band(s) of {info.dtype}, {crs_name(grid.crs)}"
    )
    yield Finding("image", text)
    try:
        high, wide = ground_size_m(grid, info.path, center_deg(grid, info.path))
    except MapsrError as error:
        # a system without a place on Earth; maps are made in it all the same
        yield Finding("pixel", f"its size on the ground can't be told: {error}")
        yield _blocks(info)
        return
    if grid.crs.is_geographic:
        size = f"{grid.pixel_size[0]:.3g} x {grid.pixel_size[1]:.3g} degrees, about "
        advice = "works, but is seldom square on the ground; better warped first (gdalwarp -t_srs)"
        yield Finding("pixel", f"{size}{high:.3g} x {wide:.3g} m: {advice}")
    else:
        metres = grid.crs.linear_units_factor[1]
        down, across = (side * metres for side in grid.pixel_size)
        skewed = abs(down / across - 1) > 0.01
        text = f"{down:.4g} x {across:.4g} m" if skewed else f"{across:.4g} m"
        yield Finding("pixel", text + (": not square, which works" if skewed else ""))
    yield _blocks(info)


def _blocks(info: ImageInfo) -> Finding:
    (rows, columns), width = info.block, info.grid.width
    whole_rows = columns >= width and width > _WIDE_PX
    text = f"stored in blocks of {rows} x {columns} px"
    if whole_rows:
        text += (
            ": whole rows, so that each chip reads far more than it needs; "
            f"`gdal_translate -of COG {info.path} OUT.tif` makes it fast"
        )
    return Finding("blocks", text)


def _bands(seen: Look, read: int) -> Iterator[Finding]:
    """What is odd with the bands."""
    if seen.alpha is not None:
        text = f"band {seen.alpha} is marked as alpha, and is read as image"
        if seen.alpha == read > 1:
            text += f": right for near infrared; bands={read - 1} makes it a mask"
        yield Finding("bands", text)
    if seen.values.size:
        for number, band in enumerate(seen.values, start=1):
            if (band == band[0]).all():
                yield Finding("bands", f"band {number} is {band[0]:g} wherever it was looked at")


def _valid(looks: Sequence[Look], total: int) -> Finding:
    share = sum(one.values.shape[1] for one in looks) / sum(one.seen for one in looks)
    masks = sorted({mask for one in looks for mask in one.masks})
    text = f"{percent(share)} of the pixels looked at hold data"
    if total > 1:
        text += f" (in {len(looks)} of {total} images)"
    text += f"; marked by {', '.join(masks)}" if masks else "; nothing marks those that do not"
    if share == 0:
        return Finding("valid", text, "check the image's nodata value (gdal_edit.py -unsetnodata)")
    return Finding("valid", text)


def _scale(values: _Values, dtype: str, scale: float | None, reason: str) -> Iterator[Finding]:
    """The range of the values, and the one that becomes 1."""
    yield Finding(
        "values",
        f"{values.least:.6g} to {values.most:.6g}, 1 % below {values.low:.6g}, "
        f"1 % above {values.high:.6g}",
    )
    likely = f"scale={values.suggested:g}"
    if scale is None and dtype != "uint8":
        text = f"{dtype} values don't tell which of them becomes 1"
        yield Finding("scale", text, f"say it: {likely} by the values that were looked at")
        return
    used = scale or _BYTE_SCALE
    yield Finding("scale", f"{used:g} becomes 1, {reason if scale else 'as of all bytes'}")
    clipped = values.clipped(used)
    if clipped > 0.5:
        yield Finding("scale", f"{percent(clipped)} of the values would be clipped: {likely}?")
    elif values.high < _DARK * used:
        share = percent(max(values.high, 0) / used)
        yield Finding("scale", f"the image would be all but black ({share} of it): {likely}?")
