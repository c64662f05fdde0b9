import pytest
from omegaconf import OmegaConf

from mapsr.errors import ConfigError
from mapsr.training import TrainingSettings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": None}, "epochs and training.max_steps are both null"),
        ({"epochs": 0}, "training.epochs is 0"),
        ({"batch": 0}, "training.batch is 0"),
        ({"checkpoint_every": 0}, "training.checkpoint_every is 0"),
        ({"workers": -1}, "training.workers is -1"),
        ({"loss": "plot"}, "training.loss is 'plot'.* Did you mean 'plat'"),
        ({"optimizer": "adam"}, "training.optimizer is 'adam'.* Did you mean 'adamw'"),
        ({"schedule": "cosin"}, "training.schedule is 'cosin'.* Did you mean 'cosine'"),
        ({"schedule_by": "batch"}, "training.schedule_by is 'batch', expected one of epoch, step"),
        ({"flaws": "unetformer"}, "training.flaws is 'unetformer', expected one of"),
        ({"learning_rate": 0.0}, "training.learning_rate is 0.0"),
        ({"rotate": 1.5}, "training.rotate is 1.5"),
        ({"most_of_class": 0.0}, "training.most_of_class is 0.0"),
        ({"scales": ()}, "training.scales is empty"),
        ({"scales": (1.0, 0.0)}, "training.scales is 0.0"),
        ({"lookahead": 0}, "training.lookahead is 0"),
    ],
)
def test_what_is_out_of_range_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        TrainingSettings(**values)


def test_zero_is_a_legal_probability_and_learning_rate_of_an_encoder():
    settings = TrainingSettings(flip_horizontal=0.0, encoder_learning_rate=0.0, workers=0)
    assert settings.encoder_learning_rate == 0


def test_lists_of_a_configuration_file_become_tuples():
    merged = OmegaConf.merge(OmegaConf.structured(TrainingSettings), {"scales": [0.5, 2]})
    settings = OmegaConf.to_object(merged)
    assert settings.scales == (0.5, 2.0)
    assert settings == TrainingSettings(scales=(0.5, 2.0))
