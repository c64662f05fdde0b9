"""Whole rasters from chips: windows, blending, one band of rows at a time."""

from mapsr.mapping.mosaic import Band, map_raster
from mapsr.mapping.rasters import legend_of, map_image
from mapsr.mapping.windows import WindowSettings, blend_weights, cover

__all__ = [
    "Band",
    "WindowSettings",
    "blend_weights",
    "cover",
    "legend_of",
    "map_image",
    "map_raster",
]
