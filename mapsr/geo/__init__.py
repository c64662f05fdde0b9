"""Grids, windows and rasters: the only room that opens raster files."""

from mapsr.geo.grids import Grid, cell_spans, overlap, read_grid
from mapsr.geo.rasters import band_count, read_codes, read_image, read_values
from mapsr.geo.readers import (
    ImageInfo,
    ImageReader,
    MosaicReader,
    block_cache,
    image_info,
    read_class_names,
    read_tags,
)
from mapsr.geo.sidecars import clear_sidecars, write_sidecars
from mapsr.geo.sources import is_side_file_name, side_files, source_files
from mapsr.geo.tiling import WindowSettings, cover, spans, tiles
from mapsr.geo.windows import Window
from mapsr.geo.writing import (
    WindowWriter,
    window_writer,
    write_cog,
    write_raster,
)

__all__ = [
    "Grid",
    "ImageInfo",
    "ImageReader",
    "MosaicReader",
    "Window",
    "WindowSettings",
    "WindowWriter",
    "band_count",
    "block_cache",
    "cell_spans",
    "clear_sidecars",
    "cover",
    "image_info",
    "is_side_file_name",
    "overlap",
    "read_class_names",
    "read_codes",
    "read_grid",
    "read_image",
    "read_tags",
    "read_values",
    "side_files",
    "source_files",
    "spans",
    "tiles",
    "window_writer",
    "write_cog",
    "write_raster",
    "write_sidecars",
]
