"""From what was measured of a chip, a fit and a map to the time that a job will take."""

from dataclasses import dataclass

from mapsr.doctor.measure import Cost
from mapsr.legends import load_legend
from mapsr.methods.method import FitWork
from mapsr.region import MapSettings
from mapsr.region.predicted import Estimate


@dataclass(frozen=True)
class Work:
    """How much work a job is.

    Attributes:
        chips: that are scored.
        mpx: megapixels of all maps.
        fit: that comes before; without chips where the method is given.
        start_seconds: that a command takes before it looks at the first image.
    """

    chips: int
    mpx: float
    fit: FitWork
    start_seconds: float = 0.0

    def at_once(self, cost: Cost) -> int:
        """How many chips are under way at once."""
        return max(1, min(cost.at_once, self.chips))


def predict(cost: Cost, work: Work, settings: MapSettings) -> Estimate:
    """Foretell what a job takes, stage by stage.

    Chips are scored in rounds of as many as are under way at once.

    Args:
        cost: as it was measured.
        work: how much there is to do.
        settings: of the command.
    """
    scoring = scoring_seconds(cost, work.chips)
    writing, measuring = 0.0, 0.0
    if cost.writing is not None:
        classes = len(load_legend(settings.legend.target))
        floats = settings.confidence + settings.product_error + classes * settings.scores
        writing = work.mpx * (cost.writing.labels + floats * cost.writing.floats)
        measuring = work.mpx * cost.writing.measure
    return Estimate(
        work.start_seconds, fit_seconds(cost, work.fit, settings), scoring + writing, measuring
    )


def fit_seconds(cost: Cost, fit: FitWork, settings: MapSettings) -> float | None:
    """Seconds that a fit takes; 0 where there is none, None where it is not known.

    What was rehearsed on the pixels of one chip, and the features of all others: those that find
    room are kept for the further passes.
    """
    if not fit.chips and fit.passes is not None:
        return 0.0
    if fit.passes is None or cost.fit_seconds is None:
        return None

    def seen(chips: int) -> int:
        """Features that are computed for so many chips."""
        passes = fit.passes or 0
        if not cost.features_mib:
            return passes * chips
        kept = min(chips, int(settings.compute.memory_mib / cost.features_mib))
        return passes * chips - max(0, passes - 1) * kept

    return cost.fit_seconds + (seen(fit.chips) - seen(1)) * cost.encode_seconds


def scoring_seconds(cost: Cost, chips: int) -> float:
    """Full rounds, and a last one of what is left, which is between one chip and a full round."""
    full = cost.seconds if cost.round_seconds is None else cost.round_seconds
    rounds, left = divmod(chips, max(1, cost.at_once))
    last = 0.0
    if left:
        last = cost.seconds + (full - cost.seconds) * (left - 1) / (cost.at_once - 1)
    return rounds * full + last
