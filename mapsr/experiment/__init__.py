"""One experiment: fit, map, judge."""

from mapsr.experiment.run import run_experiment
from mapsr.experiment.settings import RunSettings

__all__ = ["RunSettings", "run_experiment"]
