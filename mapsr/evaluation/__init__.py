"""From predicted and true labels to confusion matrices, scores and confidence intervals."""

from mapsr.evaluation.confusion import Confusion
from mapsr.evaluation.intervals import Intervals, bootstrap
from mapsr.evaluation.scores import Scores

__all__ = ["Confusion", "Intervals", "Scores", "bootstrap"]
