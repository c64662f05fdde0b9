"""Scenes: an image with its coarse product and its truth, and the chips cut from them."""

from mapsr.data.chips import Chip, SceneSource
from mapsr.data.geotiff import GeoTiffSettings, find_scenes, read_table
from mapsr.data.scenes import Scene, Scenes

__all__ = ["Chip", "GeoTiffSettings", "Scene", "SceneSource", "Scenes", "find_scenes", "read_table"]
