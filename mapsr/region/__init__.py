"""One region: its images mapped with a method that is given, or fitted on a coarse product."""

from mapsr.region.images import Image, Images, find_images
from mapsr.region.maps import Mapped, Region, map_region
from mapsr.region.settings import MapSettings, as_fitted, check_given, fitted_settings

__all__ = [
    "Image",
    "Images",
    "MapSettings",
    "Mapped",
    "Region",
    "as_fitted",
    "check_given",
    "find_images",
    "fitted_settings",
    "map_region",
]
