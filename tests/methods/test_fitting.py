"""The one way from settings and labels to a fitted method."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from make_chips import crosswalk

from mapsr.errors import PromptError
from mapsr.geo import WindowSettings
from mapsr.methods import ImageFacts, Method, MethodParts, Runtime, State, Task, fit
from mapsr.tracking import Stopwatch

WINDOWS = WindowSettings(chip=32, overlap=8, unit=32)


class Mean(Method):
    """Remembers what it was fitted on."""

    trained_parameters = 3

    def __init__(self, fails):
        self.fails, self.task = fails, None

    @property
    def weights(self):
        return {"encoder": {"name": "one", "sha256": "ab"}, "upsampler": None}

    def fit(self, task):
        if self.fails:
            raise PromptError("nothing to fit on")
        self.task = task

    def state(self):
        return State({"seed": torch.tensor([self.task.seed])}, {"scenes": len(self.task.scenes)})

    def load(self, state):
        raise AssertionError("a method that was just fitted is not loaded")

    def score(self, chips, layers=("map",)):
        raise NotImplementedError

    def facts(self):
        return {}

    def stand_in(self, coarse, image):
        raise NotImplementedError


@dataclass(frozen=True)
class MeanSettings:
    fails: bool = False
    adjustable: ClassVar[tuple[str, ...]] = ()
    uses: ClassVar[tuple[str, ...]] = ()

    def learns_from(self, parts):
        return "coarse"

    def build(self, parts, runtime, target):
        assert target.name == "toy"
        return Mean(self.fails)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr("mapsr.methods.fitted.plain", lambda settings: {"kind": "mean"})


def task(tmp_path):
    facts = ImageFacts(255.0, 3, "uint8")
    return Task(None, ("a scene", "another"), crosswalk(), facts, 32, tmp_path, seed=7)


def test_what_was_fitted_is_described_and_ready(tmp_path):
    watch = Stopwatch()
    runtime = Runtime(torch.device("cpu"), watch=watch)
    parts = MethodParts(method=MeanSettings(), recipe="released")
    fitted, method = fit(parts, task(tmp_path), WINDOWS, runtime)
    assert method.task.seed == 7 and {*watch.seconds} >= {"weights", "fit"}
    assert (fitted.target.name, fitted.product.name, fitted.crosswalk) == ("toy", "product", "toy")
    assert fitted.image == ImageFacts(255.0, 3, "uint8") and fitted.windows == WINDOWS
    assert fitted.weights == method.weights and fitted.sha256 == ""
    assert fitted.state.facts == {"scenes": 2} and fitted.state.tensors["seed"].tolist() == [7]
    assert fitted.parts.recipe == "released" and fitted.parts.prompts is None


def test_a_fit_that_fails_says_why(tmp_path):
    parts = MethodParts(method=MeanSettings(fails=True))
    with pytest.raises(PromptError, match="nothing to fit on"):
        fit(parts, task(tmp_path), WINDOWS, Runtime(torch.device("cpu")))
