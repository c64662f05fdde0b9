import json
from dataclasses import asdict, replace

import pytest
import torch
import yaml
from make_training import NAMES, PRODUCT, make_scene, source

from mapsr.data import Chip
from mapsr.errors import ConfigError, DataError, FittedError, WeightsError
from mapsr.geo import Window
from mapsr.legends import load_crosswalk, load_legend
from mapsr.mapping.outputs import Channels
from mapsr.methods.method import ImageFacts, State, Task
from mapsr.methods.network import NetworkMethod, NetworkMethodSettings
from mapsr.methods.outputs import Outputs
from mapsr.networks import (
    EfficientViMSettings,
    EfficientViTSettings,
    L2HNetSettings,
    ParaformerSettings,
    UNetFormerSettings,
)
from mapsr.plugins import conf_folder
from mapsr.training import TrainingSettings

L2HNET = L2HNetSettings(variant="original", width=8)
RECIPE = TrainingSettings(
    epochs=2, batch=2, crop=32, chips_per_scene=12, learning_rate=1e-2, checkpoint_every=1
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return tuple(make_scene(folder, name, (24, 32), seed=k) for k, name in enumerate("ab"))


@pytest.fixture
def task(scenes, tmp_path):
    image = ImageFacts(255.0, 4, "uint8")
    return Task(source(), scenes, PRODUCT, image, 448, tmp_path / "run")


def method(network=L2HNET, training=RECIPE, released=False, **values):
    return NetworkMethod(network, training, NetworkMethodSettings(**values), released=released)


def chip_of(scenes):
    return source().read(scenes[0], Window(0, 0, 24, 32))


# what MapSR's Table I prints in millions, and the exact counts that it stands for
PRESETS = {
    "paraformer": (ParaformerSettings(pretrained=False), 145_401_693),
    "l2hnet": (L2HNetSettings(), 36_922_545),
    "l2hnet_original": (L2HNetSettings(variant="original"), 1_118_129),
    "unetformer": (UNetFormerSettings(pretrained=False), 11_724_766),
    "efficientvit": (EfficientViTSettings(pretrained=False), 51_313_829),
    "efficientvim": (EfficientViMSettings(pretrained=False), 21_697_162),
}


def preset(name):
    """The method's settings in conf/method/NAME.yaml, and in the one that it is made from."""
    values = yaml.safe_load((conf_folder() / "method" / f"{name}.yaml").read_text())
    bases = [one for one in values["defaults"] if isinstance(one, str)]
    inherited = [preset(one) for one in bases if one in PRESETS]
    return (inherited[0] if inherited else {}) | values.get("method", {})


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("crosswalk", ["paraformer", "mapsr", "robinson"])
def test_presets_have_the_printed_counts(name, crosswalk):
    network, count = PRESETS[name]
    settings = NetworkMethodSettings(**preset(name))
    coarse = load_crosswalk(crosswalk, load_legend("nlcd"), load_legend("chesapeake4"))
    outputs = settings.outputs(coarse)
    assert len(outputs.targets) == (17 if settings.classes == "product" else 5)
    with torch.device("meta"):  # shapes without numbers
        built = network.build(settings.bands, len(outputs.targets))
    assert built.trainable_parameters == count


def test_outputs_by_hand():
    # product classes 5, 6, 7, 9 stand for 2, 0, 1 and nothing
    outputs = NetworkMethodSettings().outputs(PRODUCT)
    assert outputs == Outputs((2, 0, 1, 255), (0, 1, 2), NAMES)
    outputs = NetworkMethodSettings(labels="truth", background=True).outputs(PRODUCT)
    assert outputs == Outputs((1, 2, 3), (255, 0, 1, 2), NAMES)
    outputs = NetworkMethodSettings(classes="product").outputs(PRODUCT)
    assert outputs == Outputs((0, 1, 2, 3), (2, 0, 1, 255), NAMES)
    settings = NetworkMethodSettings(
        classes="product", background=True, skip=("product 6", "of another product")
    )
    assert settings.outputs(PRODUCT) == Outputs((1, 255, 2, 3), (255, 2, 1, 255), NAMES)


def test_a_product_without_a_class_to_learn_is_refused():
    skip = tuple(f"product {code}" for code in (5, 6, 7))
    with pytest.raises(ConfigError, match=r"No class of the product .*shorten method.skip"):
        NetworkMethodSettings(classes="product", skip=skip).outputs(PRODUCT)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"labels": "thruth"}, "method.labels is 'thruth'.* Did you mean 'truth'"),
        ({"classes": "coarse"}, "method.classes is 'coarse', expected one of product, target"),
        ({"labels": "truth", "classes": "product"}, "method.classes=product, but method.labels"),
        ({"bands": 0}, "method.bands is 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        NetworkMethodSettings(**values)


def test_scores_by_hand():
    # outputs: background, class 1, class 0, none; no output for class 2
    outputs = Outputs((), (255, 1, 0, 255), NAMES)
    assert outputs.channels is None
    logits = torch.tensor([9.0, 1.0, 0.0, 9.0]).view(1, 4, 1, 1)
    for every in (False, True):  # classes, so that their probabilities sum to one
        scores = outputs.scores(logits, every=every).flatten()
        total = 1 + torch.tensor(1.0).exp()
        torch.testing.assert_close(scores[:2], torch.stack([1 / total, 1 - 1 / total]))
        assert scores[2] == -torch.inf


def test_scores_of_outputs_that_share_a_class_by_hand():
    outputs = Outputs((), (255, 1, 0, 1, 255), NAMES)
    assert outputs.channels == (255, 1, 0, 1, 255)
    logits = torch.tensor([9.0, 1.0, 0.0, 2.0, 9.0])
    scores = outputs.scores(logits.view(1, 5, 1, 1).half())
    assert scores.dtype == torch.float32
    wanted = torch.tensor([-torch.inf, 1, 0, 2, -torch.inf]).softmax(0)
    torch.testing.assert_close(scores.flatten(), wanted)
    # the authors' code takes the probabilities of all outputs
    every = outputs.scores(logits.view(1, 5, 1, 1), every=True)
    torch.testing.assert_close(every.flatten(), logits.softmax(0))


def test_the_map_is_the_most_probable_outputs_class():
    outputs = Outputs((), (255, 2, 0, 1, 255, 0, 2), NAMES)
    logits = torch.randn(2, 7, 5, 8, generator=torch.Generator().manual_seed(1)).half()
    stands = torch.tensor([1, 2, 3, 5, 6])
    best = stands[logits[:, stands].float().argmax(1)]
    scores = Channels(outputs.channels, 3)
    for every in (False, True):
        found = torch.stack([scores.of(one) for one in outputs.scores(logits, every=every)])
        assert torch.equal(found.argmax(1), torch.tensor(outputs.targets)[best])


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"labels": "truth", "background": True, "bands": 3},
        {"classes": "product", "background": True, "skip": ("product 9",)},
    ],
)
def test_a_fitted_network_maps_what_it_learned(task, scenes, values):
    seen = []
    one = method(**values)
    one.fit(replace(task, on_step=lambda step, figures: seen.append((step, *figures))))
    assert one.layers == ("map",)
    chip = chip_of(scenes)
    scores = one.score([chip, chip])["map"]
    assert scores.shape == (2, 3, 24, 32)
    assert (scores[0].argmax(0) == chip.truth).float().mean() > 0.9
    assert one.trained_parameters == sum(p.numel() for p in one.network.parameters())
    assert one.network.bands == values.get("bands", 4)
    assert one.weights == {}
    assert seen == [(k, "train/loss", "train/learning_rate") for k in range(1, 25)]
    facts = one.facts()
    assert (facts["recipe"], facts["steps"]) == ("corrected", 24)
    assert facts["last_loss"] < facts["first_loss"]
    json.dumps(facts, allow_nan=False)


def test_a_larger_chip_than_those_of_training_is_scored(task, scenes):
    one = method()
    one.fit(task)
    image = torch.rand(4, 45, 70)
    chip = Chip("x", Window(0, 0, 45, 70), image, torch.ones(45, 70).bool(), None, None)
    assert one.score([chip])["map"].shape == (1, 3, 45, 70)


def test_the_same_task_gives_the_same_scores(task, scenes, tmp_path):
    scores = []
    for name in "ab":
        one = method()
        one.fit(replace(task, folder=tmp_path / name))
        scores.append(one.score([chip_of(scenes)])["map"])
    assert torch.equal(*scores)


def test_the_released_recipe_is_recorded(task):
    one = method(training=replace(RECIPE, flaws="paraformer", epochs=1), released=True)
    one.fit(task)
    assert one.facts()["recipe"] == "released"


def test_a_killed_fit_goes_on_and_gives_its_checkpoint_up_when_settled(task, scenes):
    def killed(step, figures):
        if step == 15:
            raise KeyError

    with pytest.raises(KeyError):
        method().fit(replace(task, on_step=killed))
    assert len(list((task.folder / "checkpoints").iterdir())) == 1
    one, whole = method(), method()
    one.fit(task)
    assert one.facts()["resumed_from_step"] == 12
    one.settle()
    assert list(task.folder.iterdir()) == []
    whole.fit(replace(task, folder=task.folder / "whole"))
    chip = chip_of(scenes)
    assert torch.equal(one.score([chip])["map"], whole.score([chip])["map"])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"network": L2HNetSettings(width=8)}, WeightsError, "another network: network.unused"),
        ({"bands": 3}, WeightsError, "another network: network.bands was 4, but is 3"),
        ({"released": True}, ConfigError, "another training: recipe was corrected, but is releas"),
        ({"labels": "truth"}, ConfigError, "another training: learned was"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(task, change, error, message):
    def killed(step, figures):
        if step == 13:
            raise KeyError

    with pytest.raises(KeyError):
        method().fit(replace(task, on_step=killed))
    message = message.replace("network.unused", "network.variant was original, but is trunk")
    with pytest.raises(error, match=message):
        method(**change).fit(task)


def test_more_bands_than_there_are_are_refused(task):
    with pytest.raises(ConfigError, match=r"method.bands is 5, but the images have 4"):
        method(bands=5).fit(task)


def test_before_it_is_fitted_it_does_nothing(scenes):
    one = method()
    assert one.trained_parameters == 0
    assert one.weights == {}
    with pytest.raises(DataError, match="not trained yet"):
        one.score([chip_of(scenes)])
    with pytest.raises(DataError, match="not trained yet"):
        one.state()


@pytest.fixture(scope="module")
def fitted(scenes, tmp_path_factory):
    image = ImageFacts(255.0, 4, "uint8")
    folder = tmp_path_factory.mktemp("fitted")
    one = method(training=replace(RECIPE, epochs=1), background=True, bands=3)
    one.fit(Task(source(), scenes, PRODUCT, image, 448, folder))
    return one


def test_a_network_comes_back(fitted, scenes):
    again = method(background=True, bands=3)
    again.load(fitted.state())
    assert again.outputs == fitted.outputs
    assert not again.network.training
    chip = chip_of(scenes)
    assert torch.equal(again.score([chip])["map"], fitted.score([chip])["map"])
    assert again.trained_parameters == fitted.trained_parameters


def test_a_network_that_comes_back_needs_none_of_the_weights_it_began_with():
    settings = UNetFormerSettings(pretrained=False)
    outputs = Outputs((), (0, 1), NAMES)
    state = State(settings.build(3, 2).state_dict(), {"bands": 3, "outputs": asdict(outputs)})
    one = method(network=UNetFormerSettings(checkpoint="elsewhere.pth"))
    one.load(state)
    assert one.outputs == outputs


def test_a_network_of_the_products_classes_gives_its_outputs(scenes):
    # the classes 5 and 7 of the product are both low vegetation
    merged = replace(PRODUCT, table=(2, 0, 2, 255))
    one = method(classes="product", background=True)
    assert one.channels is None
    one.stand_in(merged, ImageFacts(255.0, 4, "uint8"))
    assert one.channels == (255, 2, 0, 2, 255)
    corrected = one.score([chip_of(scenes)])["map"]
    assert corrected.shape == (1, 5, 24, 32)
    assert (corrected[:, [0, 4]] == 0).all()
    one.released = True
    released = one.score([chip_of(scenes)])["map"]
    assert (released[:, [0, 4]] > 0).all()
    torch.testing.assert_close(released.sum(1), torch.ones(1, 24, 32))


def test_scenes_that_gave_truth_are_recorded(task):
    one = method(labels="truth", training=replace(RECIPE, epochs=1))
    one.fit(task)
    assert one.facts()["truth_scenes"] == ["a", "b"]


def test_a_stand_in_scores_like_a_fit(scenes):
    one = method(background=True, bands=3)
    one.stand_in(PRODUCT, ImageFacts(255.0, 4, "uint8"))
    assert one.score([chip_of(scenes)])["map"].shape == (1, 3, 24, 32)


@pytest.mark.parametrize(
    ("tensors", "facts", "message"),
    [
        ({"head.bias": torch.zeros(3)}, {}, r"damaged: 1 entries .* the first is 'head.bias'"),
        ({"extra": torch.zeros(3)}, {}, r"damaged: 1 entries .* the first is 'extra'"),
        ({"head.bias": torch.full((4,), torch.nan)}, {}, "the first is 'head.bias'"),
        ({}, {"bands": None}, "What the file says of its network is not whole"),
        ({}, {"outputs": {"learned": [0]}}, "What the file says of its network is not whole"),
    ],
)
def test_a_network_that_is_not_whole_is_refused(fitted, tensors, facts, message):
    state = fitted.state()
    damaged = State({**state.tensors, **tensors}, {**state.facts, **facts})
    with pytest.raises(FittedError, match=message):
        method(background=True, bands=3).load(damaged)
