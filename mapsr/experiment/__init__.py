"""One experiment: fit, map, judge."""

from mapsr.experiment.run import run_experiment
from mapsr.experiment.settings import LegendSettings, RunSettings

__all__ = ["LegendSettings", "RunSettings", "run_experiment"]
