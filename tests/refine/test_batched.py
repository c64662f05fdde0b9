"""The graph of a batch as matrices, against the default path with its lists and SciPy."""

import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from stand_ins import normal, random_features, random_operator, uniform
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from mapsr import budgets
from mapsr.refine import RefineSettings, graph, refine
from mapsr.refine.batched import propagated_batch
from mapsr.refine.refine import _propagated, stretch
from mapsr.refine.slic import batched_superpixels
from mapsr.upsample import LocalOperator, PixelFeatures
from mapsr.upsample.cells import Axis, Cells

# the room offers a function of that name
refine_module = sys.modules["mapsr.refine.refine"]
SIZE, PADDED = (41, 58), (44, 60)
CLASSES = 3
PAPER = RefineSettings(superpixels="torch", neighbours=12)


@pytest.fixture(scope="module")
def chip():
    """Two chips on a padded plane, the second with nodata: features, scores, image, valid."""
    features = random_features(70, PADDED, (11, 15), 8, batch=2)
    scores = normal(72, 2, CLASSES, *SIZE) / 3
    image = F.interpolate(uniform(73, 2, 3, 4, 6), SIZE, mode="bilinear") * 0.6 + 0.2
    valid = torch.ones(2, *SIZE, dtype=torch.bool)
    valid[1, :25, :47] = False
    return features, scores, image, valid


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"neighbours": 1000},  # more than there are: the second chip has fewer still
        {"joint": False, "sigma": 0.0, "power": 1.0},
        {"joint": False, "mutual_twice": True, "gamma": 2.0},
        {"gamma": 0.0, "sigma": 30.0, "power": 1.0, "alpha": 0.9},
        {"solver": "conjugate_gradients", "alpha": 0.9},
        {"heat": "minmax", "solver": "conjugate_gradients", "most_steps": 3},
        {"most_steps": 2},
        {"alpha": 0.0},
        {"precision": "bfloat16"},
    ],
)
@pytest.mark.parametrize("pairs", [1 << 21, 500])
def test_the_same_superpixels_get_the_scores_of_the_default_path(chip, change, pairs, monkeypatch):
    monkeypatch.setattr(budgets, "PAIRS", budgets.Budget(pairs))
    features, scores, image, valid = chip
    settings = replace(PAPER, **change)
    ours = refine(features, scores, image, valid, settings)
    labels, counts = batched_superpixels(image, valid, 5000, 10)
    heat = stretch(scores) if settings.heat == "minmax" else scores
    for part, count in enumerate(counts.tolist()):
        expected = _propagated(
            features.select(part), heat[part].clone(), heat[part], labels[part], count, settings
        )
        torch.testing.assert_close(ours[part], expected, rtol=1e-5, atol=1e-5)
    assert counts[0] > counts[1] > 12


def test_a_batch_of_two_equals_one_by_one(chip):
    features, scores, image, valid = chip
    both = refine(features, scores, image, valid, PAPER)
    for part in range(2):
        one = slice(part, part + 1)
        alone = refine(features.select(part), scores[one], image[one], valid[one], PAPER)
        torch.testing.assert_close(both[one], alone)


def test_pixels_without_data_keep_their_scores_and_have_no_part_in_others(chip):
    features, scores, image, valid = chip
    other = torch.where(valid[:, None], scores, 99.0)
    ours = refine(features, other, image, valid, PAPER)
    assert torch.equal(ours[1][:, ~valid[1]], other[1][:, ~valid[1]])
    expected = refine(features, scores, image, valid, PAPER)
    assert torch.equal(ours[1][:, valid[1]], expected[1][:, valid[1]])
    nothing = torch.zeros_like(valid)
    assert torch.equal(refine(features, scores, image, nothing, PAPER), scores)


def test_on_a_cpu_the_default_is_scikit_images_to_the_last_bit(chip, monkeypatch):
    named = refine(*chip, RefineSettings(superpixels="skimage"))
    monkeypatch.setattr(refine_module, "batched_superpixels", None)  # would fail
    assert torch.equal(refine(*chip, RefineSettings()), named)


def test_too_many_nodes_for_exact_neighbours_take_the_index(chip, monkeypatch):
    features, scores, image, valid = chip
    few, asked = replace(PAPER, exact_up_to=20), []
    monkeypatch.setattr(refine_module, "propagated_batch", None)  # would fail

    def index(features, places, kernel, k, joint):
        asked.append(len(features))
        # the index itself is tested beside the graph
        return graph._exact(features, places, kernel, k, joint=joint, products=torch.float32)

    monkeypatch.setattr(graph, "_approximate", index)
    ours = refine(features, scores, image, valid, few)
    exact = refine(features, scores, image, valid, replace(few, superpixels="skimage"))
    assert (ours.argmax(1) == exact.argmax(1)).double().mean() > 0.9
    assert len(asked) == 4 and min(asked) > 20


@pytest.mark.parametrize("chunk", [1 << 21, 200])
def test_sums_over_superpixels_are_the_same_at_once(chunk, monkeypatch):
    monkeypatch.setattr(budgets, "SPREAD", budgets.Budget(chunk))
    operator = random_operator(80, PADDED, (11, 15), batch=2)
    tokens, weights = normal(81, 2, 165, 6), 50 * uniform(82, 2, *PADDED)
    labels = (uniform(83, 2, *PADDED) * 30).long() - 3
    twice = torch.stack([labels, labels.roll(5, 2)], dim=1)  # each pixel in two sets
    both = torch.stack([weights, weights.flip(1)], dim=1)
    torch.testing.assert_close(
        operator.pool_at_once(tokens, twice, 27, both),
        operator.pool(tokens, twice, 27, both),
        rtol=1e-5,
        atol=1e-3,
    )
    for some in (None, weights):
        ours = operator.pool_at_once(tokens, labels, 27, some)
        torch.testing.assert_close(
            ours, operator.pool(tokens, labels, 27, some), rtol=1e-5, atol=1e-3
        )


def test_a_node_without_neighbours_keeps_its_own_part():
    # one superpixel: (1 - alpha) of its mean, as on the default path
    features = random_features(90, (3, 5), (2, 2), 4)
    scores = normal(91, 1, 2, 3, 5)
    labels, counts = torch.zeros(1, 3, 5, dtype=torch.int64), torch.tensor([1])
    ours = propagated_batch(features, scores, labels, counts, 1, PAPER)
    torch.testing.assert_close(ours[0, :, 1, 1], scores.mean((2, 3))[0] / 2)


def test_a_gpu_is_asked_for_nothing_between_image_and_scores():
    # a device that has shapes but no values: whoever asks for one fails
    operator, tokens = random_operator(1, (40, 60), (10, 15), batch=2), normal(2, 2, 150, 8)
    cells, slots = operator.cells, operator.cells.slots
    with FakeTensorMode() as mode:

        def gpu(values):
            return mode.from_tensor(values).to("cuda")

        axes = (
            Axis(gpu(axis.pixels), gpu(axis.tokens), gpu(axis.allowed))
            for axis in (cells.rows, cells.columns)
        )
        there = Cells(*axes, cells.size, cells.grid)
        vars(there)["slots"] = gpu(slots)
        features = PixelFeatures(gpu(tokens), LocalOperator(there, gpu(operator.weights)))
        image, heat = torch.empty(2, 2, 3, 40, 60, device="cuda")
        labels, counts = batched_superpixels(image, image[:, 0] > 0, 5000, 10)
        assert labels.device.type == counts.device.type == "cuda"
        for solver in ("fixed_point", "conjugate_gradients"):
            settings = replace(PAPER, solver=solver)
            ours = propagated_batch(features, heat, labels, counts, 70, settings)
            assert ours.device.type == "cuda" and ours.shape == heat.shape
        with pytest.raises(DataDependentOutputException):
            refine(features, heat, image, image[:, 0] > 0, PAPER)  # the one number of a batch
