"""Methods: what is fitted on scenes and then scores chips.

`Method` is what they have in common; `MapSR`, `KMeansVoting` and `NetworkMethod` are the three.
"""

from mapsr.methods.extractor import FeatureExtractor
from mapsr.methods.mapsr import MapSR
from mapsr.methods.method import Method, Task

__all__ = ["FeatureExtractor", "MapSR", "Method", "Task"]
