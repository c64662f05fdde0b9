"""Defaults and limits of settings, typed a second time: a slip of a digit is nobody's choice."""

import pytest

from mapsr.errors import ConfigError
from mapsr.evaluation.intervals import bootstrap
from mapsr.methods.kmeans import KMeansSettings
from mapsr.methods.speed import FastSettings
from mapsr.prompts import CoarsePromptSettings, EmPromptSettings, ProductPriorSettings
from mapsr.refine import RefineSettings
from mapsr.training import TrainingSettings
from mapsr.upsample import BilateralSettings

DEFAULTS = [
    (
        CoarsePromptSettings(),
        {
            **{"classes": "target", "bias": False, "through": "pixels", "pixels": 131072},
            **{"epochs": 10, "batch": 1024, "learning_rate": 0.01, "weight_decay": 0.01},
            **{"chips": 512, "prompt_scenes": None},
        },
    ),
    (
        EmPromptSettings(),
        {
            **{"through": "pixels", "pixels": 40000, "chips": 512, "steps": 25},
            **{"temperature": 3.3, "shrinkage": 0.05, "floor": 1e-4, "least": 1e-3},
        },
    ),
    (ProductPriorSettings(), {"strength": 1, "blur": 0.5, "sharpness": 20, "floor": 1e-4}),
    (
        KMeansSettings(),
        {
            **{"features": "image", "radius": 3, "clusters": 64, "pixels": 131072},
            **{"restarts": 3, "iterations": 100, "chips": 512},
        },
    ),
    (
        RefineSettings(),
        {
            **{"nodes": "superpixels", "segments": 5000, "compactness": 10, "rounds": 10},
            **{"superpixels": "auto", "stretched": False, "window": 112, "neighbours": 100},
            **{"joint": True, "gamma": 1, "sigma": 1, "power": 2, "mutual_twice": False},
            **{"alpha": 0.5, "heat": "cosine", "solver": "fixed_point", "tolerance": 1e-6},
            **{"most_steps": None, "exact_up_to": 20000, "precision": "float32"},
        },
    ),
    (
        FastSettings(),
        {"precision": "int8", "guide": 2, "neighbours": 30, "rounds": 5, "tolerance": 1e-3},
    ),
    (BilateralSettings(), {"radius": 2.0, "distance": 0.7, "colour": 0.07}),
]


@pytest.mark.parametrize(("settings", "values"), DEFAULTS, ids=lambda one: type(one).__name__)
def test_defaults_are_those_that_were_published_or_measured(settings, values):
    assert vars(settings) == values


def test_intervals_are_of_a_thousand_resamples():
    assert bootstrap.__defaults__ == (1000, 0.95)


@pytest.mark.parametrize(
    ("kind", "key", "most", "beyond"),
    [
        (FastSettings, "tolerance", 0.1, 0.2),
        (FastSettings, "guide", 4, 5),
        (RefineSettings, "tolerance", 0.1, 0.2),
        (EmPromptSettings, "floor", 0.1, 0.2),
        (EmPromptSettings, "least", 0.5, 0.6),
        (EmPromptSettings, "shrinkage", 0.999, 1.0),
        (ProductPriorSettings, "floor", 0.1, 0.2),
        (ProductPriorSettings, "blur", 4, 4.5),
        (TrainingSettings, "momentum", 1.0, 1.5),
        (TrainingSettings, "rotate", 1.0, 1.5),
    ],
)
def test_the_largest_value_is_taken_and_one_beyond_is_refused(kind, key, most, beyond):
    assert getattr(kind(**{key: most}), key) == most
    with pytest.raises(ConfigError, match=key):
        kind(**{key: beyond})
