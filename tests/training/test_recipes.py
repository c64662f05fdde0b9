"""The presets of conf/training against the published recipes, each number typed from its source."""

import dataclasses

import pytest

from mapsr.cli.compose import compose_run, conf_folder

# settings that do not belong to a recipe, or only say how it is run
NOT_PUBLISHED = {
    *("warm_up", "confident_threshold", "confident_entropy", "restart", "restart_factor"),
    *("workers", "checkpoint_every"),
}
NO_AUGMENTATION = {
    "scales": (1.0,),
    "most_of_class": 1.0,
    "flip_horizontal": 0.0,
    "flip_vertical": 0.0,
    "rotate": 0.0,
    "mosaic": 0.0,
}
# trainer.py and train.py of Paraformer, with the batch of the README's command
PARAFORMER = NO_AUGMENTATION | {
    "epochs": 100,
    "max_steps": None,
    "batch": 10,
    "crop": 224,
    "chips_per_scene": 50,
    "reject": True,
    "loss": "plat",
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "encoder_learning_rate": None,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "decay_biases": True,
    "lookahead": None,
    "lookahead_share": 0.5,
    "schedule": "poly",
    "schedule_by": "step",
    "least_learning_rate": 0.0,
    "power": 0.9,
    "freeze_norm": False,
    "flaws": "paraformer",
}
# config/loveda/unetformer.py of GeoSeg
UNETFORMER = {
    "epochs": 30,
    "max_steps": None,
    "batch": 16,
    "crop": 512,
    "chips_per_scene": 50,
    "reject": False,
    "scales": (0.75, 1.0, 1.25, 1.5),
    "most_of_class": 0.75,
    "flip_horizontal": 0.5,
    "flip_vertical": 0.0,
    "rotate": 0.0,
    "mosaic": 0.0,
    "loss": "unetformer",
    "optimizer": "adamw",
    "learning_rate": 6e-4,
    "encoder_learning_rate": 6e-5,
    "momentum": 0.9,
    "weight_decay": 0.01,
    "decay_biases": False,
    "lookahead": 5,
    "lookahead_share": 0.5,
    "schedule": "cosine",
    "schedule_by": "epoch",
    "least_learning_rate": 1e-6,
    "power": 0.9,
    "freeze_norm": False,
    "flaws": "none",
}
PUBLISHED = {
    "paraformer": PARAFORMER,
    "l2hnet": PARAFORMER | {"loss": "cross_entropy"},
    "unetformer": UNETFORMER,
    "efficientvit": UNETFORMER
    | {
        "loss": "cross_entropy",
        "encoder_learning_rate": None,
        "lookahead": None,
        "schedule_by": "step",
    },
    # segmentation/ of EfficientViM, for ADE20K
    "efficientvim": NO_AUGMENTATION
    | {
        "epochs": None,
        "max_steps": 40_000,
        "batch": 8 * 4,
        "crop": 512,
        "chips_per_scene": 50,
        "reject": False,
        "flip_horizontal": 0.5,
        "loss": "cross_entropy",
        "optimizer": "adamw",
        "learning_rate": 2e-4,
        "encoder_learning_rate": None,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "decay_biases": True,
        "lookahead": None,
        "lookahead_share": 0.5,
        "schedule": "poly",
        "schedule_by": "step",
        "least_learning_rate": 1e-6,
        "power": 0.9,
        "freeze_norm": True,
        "flaws": "none",
    },
}


def test_each_preset_but_the_small_one_has_a_published_recipe():
    names = {path.stem for path in (conf_folder() / "training").glob("*.yaml")}
    # the others are budgets for two cores, and EcoVision's, of which two numbers differ
    assert names == PUBLISHED.keys() | {"small", "iel_small", "ecovision"}


def test_ecovisions_recipe_is_as_published_but_for_batch_and_learning_rate():
    found = compose_run(["method=unetformer", "training=ecovision"]).training
    assert (found.epochs, found.weight_decay, found.batch, found.learning_rate) == (
        10,
        5e-4,
        4,
        1e-3,
    )
    assert found.loss == "cross_entropy" and found.optimizer == "adamw"


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_has_the_published_values(name):
    settings = compose_run(["method=unetformer", f"training={name}"])
    found = dataclasses.asdict(settings.training)
    assert {key: found[key] for key in found.keys() - NOT_PUBLISHED} == PUBLISHED[name]
