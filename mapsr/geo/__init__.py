"""Grids, windows and rasters: the only room that opens raster files."""

from mapsr.geo.grids import Grid, overlap, read_grid
from mapsr.geo.rasters import band_count, read_codes, read_image
from mapsr.geo.windows import Window
from mapsr.geo.writing import LabelWriter, label_writer, write_raster

__all__ = [
    "Grid",
    "LabelWriter",
    "Window",
    "band_count",
    "label_writer",
    "overlap",
    "read_codes",
    "read_grid",
    "read_image",
    "write_raster",
]
