"""One experiment: fit, map, judge."""

from mapsr.experiment.run import finished_run, run_experiment
from mapsr.experiment.settings import RunSettings

__all__ = ["RunSettings", "finished_run", "run_experiment"]
