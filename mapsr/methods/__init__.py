"""Methods behind one interface: fit on chips, score chips."""

from mapsr.methods.extractor import FeatureExtractor
from mapsr.methods.mapsr import MapSR

__all__ = ["FeatureExtractor", "MapSR"]
