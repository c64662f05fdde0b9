"""A labelling: products vote on images, models expand the labels round by round, maps come of it.

``run_labelling`` is what `mapsr label` does, ``dry_run`` what it would do.
"""

from mapsr.rounds.dry import dry_run
from mapsr.rounds.region import Labelled, LabelRegion, open_region
from mapsr.rounds.run import run_labelling
from mapsr.rounds.settings import ExpansionSettings, LabelSettings

__all__ = [
    "ExpansionSettings",
    "LabelRegion",
    "LabelSettings",
    "Labelled",
    "dry_run",
    "open_region",
    "run_labelling",
]
