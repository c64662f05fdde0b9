"""Methods: what is fitted on scenes, kept, loaded, and then scores chips.

`Method` is what they have in common, `MethodParts` what they are made of, `FittedMethod` what is
kept of a fit; `fit` and `load_fitted` are the two ways to one. Each method has a file of its own.
"""

from mapsr.methods.extractor import FeatureExtractor
from mapsr.methods.fitted import FittedMethod, find_fitted, load_fitted
from mapsr.methods.fitting import fit
from mapsr.methods.mapsr import MapSR
from mapsr.methods.method import ImageFacts, Method, State, Task
from mapsr.methods.parts import ComputeSettings, MethodParts, MethodSettings, Runtime

__all__ = [
    "ComputeSettings",
    "FeatureExtractor",
    "FittedMethod",
    "ImageFacts",
    "MapSR",
    "Method",
    "MethodParts",
    "MethodSettings",
    "Runtime",
    "State",
    "Task",
    "find_fitted",
    "fit",
    "load_fitted",
]
