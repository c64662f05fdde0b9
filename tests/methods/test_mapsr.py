from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from make_chips import NAMES, crosswalk, make_chip
from stand_ins import MeanColour

from mapsr.errors import ConfigError, DataError, FittedError, PromptError
from mapsr.legends import LandClass
from mapsr.methods import FeatureExtractor, ImageFacts, MapSR, Runtime, Task
from mapsr.methods.extractor import batches
from mapsr.methods.material import ChipMaterial
from mapsr.progress import Quiet
from mapsr.prompts import ClassPrompts, CoarsePromptSettings, TruthPromptSettings
from mapsr.refine import RefineSettings
from mapsr.upsample import Bilateral, BilateralSettings

SETTINGS = CoarsePromptSettings(pixels=2000, epochs=5, batch=128, learning_rate=0.05)
PLAIN = RefineSettings(nodes="none")
CHIPS = [make_chip(number) for number in range(3)]
LAYERS = ("map", "probe")


def mapsr(refinement=PLAIN, names=NAMES, settings=SETTINGS, batch=1):
    extractor = FeatureExtractor(
        MeanColour(), Bilateral(BilateralSettings()), torch.device("cpu"), 64
    )
    runtime = Runtime(torch.device("cpu"), batch=batch)
    return MapSR(extractor, refinement, names, settings, runtime)


def fitted(settings=SETTINGS, chips=CHIPS, seed=0, **more):
    method = mapsr(settings=settings, **more)
    method.fit_chips(chips, crosswalk(), seed, Quiet())
    return method


def right(labels, chip, where=None):
    """Share of pixels with the true label."""
    where = chip.valid if where is None else where & chip.valid
    return float((labels == chip.truth)[where].double().mean())


def dense_of(method, chip):
    """Features of the chip's own pixels, (4, H, W)."""
    height, width = chip.valid.shape
    return method.extractor([chip]).linear(torch.eye(4))[0, :, :height, :width]


def target_of(chip):
    return torch.from_numpy(crosswalk().apply(chip.coarse.numpy()))


@pytest.mark.parametrize("classes", ["target", "product"])
@pytest.mark.parametrize("through", ["pixels", "operator"])
@pytest.mark.parametrize("nodes", ["none", "superpixels"])
def test_maps_are_better_than_the_coarse_labels_they_came_from(classes, through, nodes):
    settings = replace(SETTINGS, classes=classes, through=through, epochs=10)
    method = fitted(settings, refinement=RefineSettings(nodes=nodes))
    assert method.prompts is not None
    assert method.prompts.present.all()
    ours, coarse = [], []
    for chip in (*CHIPS, make_chip(7)):
        ours.append(right(method.score([chip])["map"][0].argmax(0), chip))
        coarse.append(right(target_of(chip), chip, target_of(chip) != 255))
    assert max(coarse) < 0.96
    # superpixels of 40 pixels cost a little at banks that run slantwise
    assert sum(ours) / 4 > (1 if nodes == "none" else sum(coarse) / 4 + 0.02) - 1e-9


def test_trained_parameters_are_the_probes():
    assert mapsr().trained_parameters == 0
    assert fitted().trained_parameters == 2 * 4
    product = fitted(replace(SETTINGS, classes="product", bias=True))
    assert product.trained_parameters == 4 * 4 + 4


def test_prompts_are_means_over_pixels_where_probe_and_coarse_labels_agree():
    method = fitted()
    sums, counts = torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64)
    for chip in CHIPS:
        features = method.extractor([chip])
        best = method.probe.scores(features)[0, :, :41, :58].argmax(0)
        dense = dense_of(method, chip)
        for number in range(2):
            pixels = (best == number) & (target_of(chip) == number) & chip.valid
            sums[number] += dense[:, pixels].sum(1)
            counts[number] += int(pixels.sum())
    assert torch.equal(method.prompts.counts, counts)
    torch.testing.assert_close(method.prompts.vectors, sums / counts[:, None], rtol=1e-4, atol=1e-5)


def test_prompts_from_truth_are_means_over_valid_pixels():
    method = fitted(TruthPromptSettings(), CHIPS[:2])
    assert method.probe is None and method.trained_parameters == 0
    for number in range(2):
        own = [dense_of(method, chip)[:, (chip.truth == number) & chip.valid] for chip in CHIPS[:2]]
        mean = torch.cat(own, dim=1).mean(1)
        torch.testing.assert_close(method.prompts.vectors[number], mean, rtol=1e-4, atol=1e-5)
    labels = method.score([CHIPS[2]])["map"][0].argmax(0)
    assert right(labels, CHIPS[2]) > 0.97


@dataclass(frozen=True)
class DrawnTask(Task):
    """A task whose scenes are chips in memory, three of one scene each."""

    def chips(self, most, scenes=None):
        wanted = self.scenes if scenes is None else scenes
        return [chip for scene in wanted for chip in scene.chips][:most]


@dataclass(frozen=True)
class DrawnScene:
    name: str
    chips: tuple


SCENES = tuple(
    DrawnScene(name, tuple(make_chip(3 * n + k, scene=name) for k in range(2)))
    for n, name in enumerate("abcdef")
)


def fitted_on(settings, seed):
    method = mapsr(settings=settings)
    image = ImageFacts(1.0, 3, "float32")
    method.fit(DrawnTask(None, SCENES, crosswalk(), image, 58, Path("none"), seed))
    return method


def test_the_seed_says_which_scene_gives_its_truth_and_the_record_does():
    taught = {}
    for seed in range(8):
        method = fitted_on(TruthPromptSettings(), seed)
        [name] = method.facts()["truth_scenes"]
        own = next(scene for scene in SCENES if scene.name == name)
        sure = mapsr(settings=TruthPromptSettings())
        sure.fit_chips(own.chips, crosswalk(), 0, Quiet())
        # of this scene alone
        assert torch.equal(method.prompts.vectors, sure.prompts.vectors)
        taught[seed] = name
    assert len(set(taught.values())) > 3
    again = fitted_on(TruthPromptSettings(), 3).facts()["truth_scenes"]
    assert again == [taught[3]]
    assert fitted_on(TruthPromptSettings(scenes=None), 1).facts()["truth_scenes"] == list("abcdef")
    three = fitted_on(TruthPromptSettings(scenes=3), 1).facts()["truth_scenes"]
    assert len(three) == 3 and three == sorted(three)


def test_prompts_of_one_scene_and_a_probe_of_all():
    few = replace(SETTINGS, prompt_scenes=1, chips=5)
    one, every = fitted_on(few, 2), fitted_on(replace(few, prompt_scenes=None), 2)
    assert torch.equal(one.probe.weight, every.probe.weight)
    [name] = one.facts()["prompt_scenes"]
    assert "prompt_scenes" not in every.facts()
    own = next(scene for scene in SCENES if scene.name == name)
    agreed = 0
    for chip in own.chips:  # all of them, though the probe has five chips of six scenes
        best = one.probe.scores(one.extractor([chip]))[0, :, :41, :58].argmax(0)
        agreed += int(((best == target_of(chip)) & chip.valid).sum())
    assert int(one.prompts.counts.sum()) == agreed
    with pytest.raises(ConfigError, match=r"prompts.prompt_scenes is 0"):
        replace(SETTINGS, prompt_scenes=0)


def test_scores_of_two_chips_equal_those_of_one_by_one():
    method = fitted(refinement=RefineSettings())
    both = method.score(CHIPS[:2], LAYERS)
    assert set(both) == {"map", "probe"}
    for part in range(2):
        alone = method.score(CHIPS[part : part + 1], LAYERS)
        for layer, scores in alone.items():
            assert scores.shape == (1, 2, 41, 58)
            torch.testing.assert_close(both[layer][part], scores[0], rtol=1e-4, atol=1e-5)


def test_scores_are_cosines_and_the_probes_are_probabilities():
    layers = fitted().score([make_chip(1, (37, 50))], LAYERS)
    assert layers["map"].shape == (1, 2, 37, 50)
    assert layers["map"].abs().max() <= 1 + 1e-5
    torch.testing.assert_close(layers["probe"].sum(1), torch.ones(1, 37, 50))
    given = mapsr()
    given.use(fitted().prompts)
    assert set(given.score([CHIPS[0]], LAYERS)) == {"map"} == set(given.layers)


def test_batches_while_fitting_change_nothing():
    one, three = fitted(), fitted(batch=3)
    torch.testing.assert_close(one.probe.weight, three.probe.weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.prompts.vectors, three.prompts.vectors, rtol=1e-4, atol=1e-5)


def test_a_seed_gives_the_same_fit_each_time():
    # with all pixels in one batch, only the draw of the pixels can differ
    few = replace(SETTINGS, pixels=60, batch=1000)
    first, again, other = (fitted(few, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.probe.weight, again.probe.weight)
    assert torch.equal(first.prompts.vectors, again.prompts.vectors)
    assert (first.probe.weight - other.probe.weight).abs().max() > 1e-4


def test_padding_and_invalid_pixels_are_never_sampled():
    # one class only where there is nothing to see, and beyond the edges
    chips = [replace(chip, coarse=torch.where(chip.valid, chip.coarse, 1)) for chip in CHIPS]
    odd = [replace(chip, coarse=torch.where(chip.valid, chip.coarse, 0)) for chip in CHIPS]
    assert torch.equal(fitted(chips=chips).probe.weight, fitted(chips=odd).probe.weight)


def test_a_class_without_prompt_never_shows():
    ice = LandClass(7, "ice", (7, 7, 7))
    three = crosswalk()
    target = replace(three.target, classes=(*three.target.classes, ice))
    method = mapsr(names=target.names)
    method.fit_chips(CHIPS, replace(three, target=target), 0, Quiet())
    assert method.prompts.present.tolist() == [True, True, False]
    layers = method.score([CHIPS[0]])
    assert (layers["map"][:, 2] == float("-inf")).all()
    assert set(layers["map"].argmax(1).unique().tolist()) == {0, 1}


@pytest.mark.parametrize("through", ["pixels", "operator"])
def test_scenes_without_a_labelled_pixel(through):
    unlabelled = [unlabelled_of(chip) for chip in CHIPS]
    with pytest.raises(PromptError, match="No pixel of the scenes to fit on has a coarse label"):
        fitted(replace(SETTINGS, through=through), chips=unlabelled)


def unlabelled_of(chip):
    return replace(chip, coarse=torch.full_like(chip.coarse, 255))


@pytest.mark.parametrize(("batch", "all_calls"), [(1, 5), (2, 3)])
@pytest.mark.parametrize("through", ["pixels", "operator"])
def test_chips_without_labels_are_not_encoded_and_leave_the_fit_as_it_is(
    through, batch, all_calls, monkeypatch
):
    empty = [unlabelled_of(make_chip(number)) for number in (4, 5, 6)]
    chips = [CHIPS[0], *empty, CHIPS[2]]
    settings = replace(SETTINGS, through=through)
    few = fitted(settings, chips=chips, batch=batch)
    assert few.extractor.encoder.calls == 2
    monkeypatch.setattr(ChipMaterial, "_read_all", every_batch)
    every = fitted(settings, chips=chips, batch=batch)
    assert every.extractor.encoder.calls == all_calls
    assert torch.equal(few.prompts.vectors, every.prompts.vectors)
    assert torch.equal(few.probe.weight, every.probe.weight)


def every_batch(material, labels):
    first = 0
    for batch in batches(material._chips, material._batch):
        yield first, batch, torch.stack([material._read(chip, labels) for chip in batch])
        first += len(batch)


def test_scenes_of_one_class_only():
    water = [replace(chip, coarse=torch.full_like(chip.coarse, 1)) for chip in CHIPS]
    with pytest.raises(PromptError, match="Only 1 of 2 classes has pixels for a prompt"):
        fitted(chips=water)


def test_a_scene_without_coarse_labels_or_truth():
    chip = replace(CHIPS[0], coarse=None, truth=None)
    with pytest.raises(DataError, match="Scene 'river' has no coarse product to fit on"):
        fitted(chips=[chip])
    with pytest.raises(DataError, match="Scene 'river' has no truth to take prompts from"):
        fitted(TruthPromptSettings(), [chip])


def test_scoring_needs_prompts():
    with pytest.raises(PromptError, match="There are no prompts yet: fit them, or load them"):
        mapsr().score([CHIPS[0]])


def test_prompts_of_elsewhere_are_used_if_they_fit_the_encoder():
    method, other = fitted(), mapsr()
    other.use(method.prompts)
    expected = method.score([CHIPS[0]])["map"]
    assert torch.equal(other.score([CHIPS[0]])["map"], expected)
    assert "probe" not in other.score([CHIPS[0]], LAYERS)
    with pytest.raises(FittedError, match="prompts have 9 channels, the encoder 4: they belong"):
        other.use(ClassPrompts(torch.zeros(2, 9), torch.ones(2, dtype=torch.int64)))


def test_facts_say_where_prompts_came_from_and_their_pixels():
    assert fitted().facts()["prompts_from"] == "coarse"
    method = mapsr(settings=None)
    assert method.facts()["prompts_from"] == "file" and method.facts()["prompt_pixels"] == {}
    method.use(ClassPrompts(torch.eye(4)[: len(NAMES)], torch.arange(len(NAMES)) + 3))
    pixels = {name: number + 3 for number, name in enumerate(NAMES)}
    assert method.facts()["prompt_pixels"] == pixels
