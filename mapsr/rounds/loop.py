"""Expansion: fit on the labels, map, vote with the map, and again, until it does not help."""

import logging
import time
from dataclasses import dataclass

from mapsr.errors import DataError, MapsrError
from mapsr.labelling import model_weight
from mapsr.methods import Runtime, State
from mapsr.rounds.models import Judged, Model, fit_model, judge_model, map_model
from mapsr.rounds.votes import Basis, Counted, Polls

logger = logging.getLogger(__name__)

UNKNOWN_WEIGHT = 1
"""Tenths of a model whose accuracy is unknown, as of any product of that kind."""


@dataclass(frozen=True, eq=False)
class Voter:
    """The model of a round, and what its vote is worth.

    Attributes:
        number: of its round.
        judged: its maps.
        weight: of its vote in tenths.
        weight_from: where the weight comes from, in words.
        parameters: how many parameters training changed; None: it was found fitted.
        seconds: by stage.
    """

    number: int
    judged: Judged
    weight: int
    weight_from: str
    parameters: int | None
    seconds: dict[str, float]


@dataclass(frozen=True, eq=False)
class Round:
    """Labels that were kept, and the model that voted for them; None in round 0."""

    labels: Counted
    voter: Voter | None


@dataclass(frozen=True, eq=False)
class Expanded:
    """What a labelling came to.

    Attributes:
        rounds: those that were kept, round 0 first.
        basis: labels and model of the final map, None without a model.
        rejected: the model that ended the loop, where one did.
        rule: "validation" or "agreement"; None without rounds.
        reason: why the loop ended.
    """

    rounds: tuple[Round, ...]
    basis: Basis | None = None
    rejected: Voter | None = None
    rule: str | None = None
    reason: str = ""


@dataclass
class _Loop:
    """A loop under way."""

    polls: Polls
    runtime: Runtime
    rounds: list[Round]
    basis: Basis | None = None
    best: float = -1.0
    start: State | None = None
    rejected: Voter | None = None

    def run(self) -> str:
        """Do the rounds; return why they ended."""
        settings = self.polls.settings
        for number in range(1, settings.rounds + 1):
            if reason := self._enough():
                return reason
            try:
                ended = self._round(number)
            except MapsrError as error:
                raise type(error)(
                    f"Round {number}: {error} The labels of round {number - 1} are whole in "
                    f"{self.polls.folder / 'labels' / f'round_{number - 1}'}."
                ) from error
            if ended:
                return ended
        return f"rounds={settings.rounds} were asked for"

    def _round(self, number: int) -> str | None:
        """Do one round; return why it was the last, None if it was not."""
        polls, labels = self.polls, self.rounds[-1].labels
        start = self.start if polls.settings.expansion.start == "warm" else None
        with self.runtime.watch("fit"):
            model = fit_model(polls, labels, number, self.runtime, start)
        begin = time.perf_counter()
        with self.runtime.watch("map"):
            hashes, judged = self._mapped(model, labels)
        better = judged.value is None or judged.value > self.best
        voter = self._voter(number, model, judged, time.perf_counter() - begin)
        if not better:
            self.rejected = voter
            return (
                f"the model of round {number} is no better ({judged.value:.4f}) than the one "
                f"before ({self.best:.4f})"
            )
        self.best = self.best if judged.value is None else judged.value
        rest = [place for place in range(len(polls.region.images)) if place not in hashes]
        if rest:
            with self.runtime.watch("map"):
                hashes |= map_model(polls, labels, model, self.runtime, rest)
            judged = judge_model(polls, self.rounds[0].labels, dict(enumerate(model.maps(polls))))
        voter = self._voter(number, model, judged, time.perf_counter() - begin)
        ordered = tuple(hashes[place] for place in range(len(polls.region.images)))
        basis = Basis(labels, model.maps(polls), ordered, voter.weight)
        with self.runtime.watch("vote"):
            voted = polls.vote(number, basis)
        self.rounds.append(Round(voted, voter))
        self.basis = Basis(voted, basis.models, ordered, voter.weight)
        self.start = model.fitted.state
        return None

    def _mapped(self, model: Model, labels: Counted) -> tuple[dict[int, str], Judged]:
        """Map the images that judge a model first: only a better one maps the others."""
        polls, first = self.polls, self.rounds[0].labels
        known = first.known
        places = [place for place, pixels in enumerate(known) if pixels or not any(known)]
        hashes = map_model(polls, labels, model, self.runtime, places)
        paths = model.maps(polls)
        return hashes, judge_model(polls, first, {place: paths[place] for place in places})

    def _voter(self, number: int, model: Model, judged: Judged, seconds: float) -> Voter:
        given = self.polls.settings.expansion.weight_tenths
        if given is not None:
            weight, source = given, "expansion.weight"
        elif judged.validation.counts.any() and judged.value is not None:
            weight, source = model_weight(100 * judged.value), "validation accuracy"
        else:
            weight, source = UNKNOWN_WEIGHT, "accuracy unknown"
        parameters = model.method.trained_parameters if model.method else None
        spent = {"fit": round(model.seconds, 3), "map": round(seconds, 3)}
        return Voter(number, judged, weight, source, parameters, spent)

    def _enough(self) -> str | None:
        """Why another round would be of no use, None if it may be."""
        statistics = self.rounds[-1].labels.statistics
        trusted = int(statistics.trusted.sum())
        if trusted == statistics.pixels:
            return "no pixel is undetermined"
        if self.polls.region.held is None or len(self.rounds) == 1:
            return None
        before = int(self.rounds[-2].labels.statistics.trusted.sum())
        new = (trusted - before) / statistics.pixels
        least = self.polls.settings.expansion.least_new
        if new >= least:
            return None
        return f"a round newly trusted {new:.4f} of all pixels, less than {least:g}"


def expand(polls: Polls, first: Counted, runtime: Runtime) -> Expanded:
    """Expand labels by rounds of fit, map and vote.

    A round is kept if its model is better than the one before: by accuracy on validation truth, or
    without any by agreement with trusted pixels that it did not learn from.

    Args:
        polls: the labelling.
        first: labels of round 0.
        runtime: where models compute.

    Raises:
        DataError: no pixel has truth for validation, though truth is given.
        MapsrError: a model can't be fitted or mapped; what is done is kept.

    Source:
        EcoVision, J. Remote Sens. 2025, 0811, Algorithm 2; the rule without truth is our own.
    """
    if polls.region.judges.validates and not any(first.known):
        raise DataError(
            "No pixel of the images has truth that decides when to stop: lower "
            f"expansion.block_px, now {polls.settings.expansion.block_px}, raise "
            "expansion.validation_share, or give validation= where the images are."
        )
    for name in absent_classes(polls, first):
        logger.warning("class '%s' has no trusted pixel: no model can learn it", name)
    loop = _Loop(polls, runtime, [Round(first, None)])
    reason = loop.run()
    rule = "agreement" if polls.region.held is not None else "validation"
    logger.info("the rounds ended: %s", reason)
    return Expanded(tuple(loop.rounds), loop.basis, loop.rejected, rule, reason)


def absent_classes(polls: Polls, labels: Counted) -> list[str]:
    """Names of the classes without any trusted pixel."""
    present = labels.statistics.trusted.sum(axis=0) > 0
    names = polls.region.plan.target.names
    return [name for name, there in zip(names, present, strict=True) if not there]
