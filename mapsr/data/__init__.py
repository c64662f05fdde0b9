"""Scenes: an image with its coarse product and its truth, and the chips cut from them."""

from mapsr.data.chips import Chip, ChipSequence, SceneSource, cut_scenes
from mapsr.data.geotiff import GeoTiffSettings, find_scenes, read_table
from mapsr.data.labels import LabelSource
from mapsr.data.scenes import DataSettings, Scene, Scenes

__all__ = [
    "Chip",
    "ChipSequence",
    "DataSettings",
    "GeoTiffSettings",
    "LabelSource",
    "Scene",
    "SceneSource",
    "Scenes",
    "cut_scenes",
    "find_scenes",
    "read_table",
]
