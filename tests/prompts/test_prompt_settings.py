import pytest

from mapsr.errors import ConfigError
from mapsr.prompts import CoarsePromptSettings, TruthPromptSettings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": "targets"}, "prompts.classes is 'targets'.*Did you mean 'target'"),
        ({"through": "pixel"}, "prompts.through is 'pixel'.*Did you mean 'pixels'"),
        ({"pixels": 0}, "prompts.pixels is 0"),
        ({"epochs": 0}, "prompts.epochs is 0"),
        ({"batch": 0}, "prompts.batch is 0"),
        ({"learning_rate": 0.0}, "prompts.learning_rate is 0.0"),
        ({"weight_decay": -1.0}, "prompts.weight_decay is -1.0"),
        ({"chips": 0}, "prompts.chips is 0"),
    ],
)
def test_coarse_settings_out_of_range(settings, message):
    with pytest.raises(ConfigError, match=message):
        CoarsePromptSettings(**settings)


@pytest.mark.parametrize("name", ["scenes", "chips"])
def test_truth_settings_out_of_range(name):
    with pytest.raises(ConfigError, match=f"prompts.{name} is 0, expected at least 1, or null"):
        TruthPromptSettings(**{name: 0})


def test_all_chips_may_be_asked_for():
    assert CoarsePromptSettings(chips=None).chips is None
    assert TruthPromptSettings(scenes=None, chips=None).scenes is None


def test_the_probe_gets_its_part():
    probe = CoarsePromptSettings(
        bias=True, epochs=3, batch=5, learning_rate=0.1, weight_decay=0
    ).probe
    assert (probe.bias, probe.epochs, probe.batch) == (True, 3, 5)
    assert (probe.learning_rate, probe.weight_decay) == (0.1, 0)
