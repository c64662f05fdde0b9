import numpy as np
import pytest
import torch
import torch.nn.functional as F
from stand_ins import normal, pixel_features, random_features, uniform

from mapsr.errors import ConfigError
from mapsr.refine import RefineSettings, refine
from mapsr.refine.refine import stretch
from mapsr.refine.superpixels import superpixels

SIZE, PADDED = (21, 34), (24, 36)
CLASSES = 3


@pytest.fixture(scope="module")
def chip():
    """Two chips on a padded plane: features, scores, image, valid."""
    features = random_features(70, PADDED, (6, 9), 8, batch=2)
    scores = normal(72, 2, CLASSES, *SIZE) / 3
    coarse = uniform(73, 2, 3, 4, 6)
    image = F.interpolate(coarse, SIZE, mode="bilinear") * 0.6 + 0.2
    valid = torch.ones(2, *SIZE, dtype=torch.bool)
    valid[1, :5, :7] = False
    return features, scores, image, valid


def slow_refined(features, heat, labels, count, settings, size):
    """One graph after the book: dense features, true centroids, all edges, a direct solve."""
    dim = features.tokens.shape[2]
    dense = features.linear(torch.eye(dim))[0, :, : size[0], : size[1]].double()
    unit = F.normalize(dense, dim=0)
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in size), indexing="ij")
    place = torch.stack([(rows + 0.5) / size[0], (columns + 0.5) / size[1]]).double()
    inside = [labels == node for node in range(count)]
    z = F.normalize(torch.stack([unit[:, node].mean(1) for node in inside]), dim=1)
    x = torch.stack([place[:, node].mean(1) for node in inside])
    y = torch.stack([heat[:, node].double().mean(1) for node in inside])
    distance = (x[:, None] - x[None]).norm(dim=2)
    weights = (z @ z.T).clamp_min(0) ** settings.gamma
    weights = weights * torch.exp(-settings.sigma * distance**settings.power)
    weights.fill_diagonal_(0)
    degree = weights.sum(1)
    graph = weights / (degree[:, None] * degree[None]).sqrt()
    system = torch.eye(count, dtype=torch.float64) - settings.alpha * graph
    solved = torch.linalg.solve(system, (1 - settings.alpha) * y)
    out = heat.clone()
    for node, pixels in enumerate(inside):
        out[:, pixels] = solved[node].float()[:, None]
    return out


@pytest.mark.parametrize(
    "settings",
    [
        RefineSettings(neighbours=10**6, tolerance=1e-9),
        RefineSettings(neighbours=10**6, tolerance=1e-9, solver="conjugate_gradients"),
        # where distance matters most; the released code took labels for places
        RefineSettings(neighbours=10**6, gamma=2, sigma=30, power=1, alpha=0.9, tolerance=1e-9),
        RefineSettings(neighbours=10**6, sigma=0, heat="minmax", tolerance=1e-9),
        RefineSettings(neighbours=10**6, mutual_twice=True, joint=False, tolerance=1e-9),
    ],
)
def test_a_graph_of_superpixels_with_true_centroids_instead_of_label_numbers(chip, settings):
    features, scores, image, valid = chip
    ours = refine(features, scores, image, valid, settings)
    for part in range(2):
        labels, count = superpixels(image[part], valid[part], 5000, 10)
        heat = stretch(scores)[part] if settings.heat == "minmax" else scores[part]
        expected = slow_refined(features.select(part), heat, labels, count, settings, SIZE)
        torch.testing.assert_close(ours[part], expected, rtol=1e-4, atol=1e-5)


def test_a_graph_of_pixels_in_windows(chip):
    features, scores, image, valid = chip
    settings = RefineSettings(nodes="pixels", window=12, neighbours=10**6, sigma=20, tolerance=1e-9)
    ours = refine(features, scores, image, valid, settings)
    expected = scores[1]
    for top in range(0, SIZE[0], 12):
        for left in range(0, SIZE[1], 12):
            inside = torch.zeros(SIZE, dtype=torch.bool)
            inside[top : top + 12, left : left + 12] = True
            inside &= valid[1]
            labels = torch.full(SIZE, -1)
            labels[inside] = torch.arange(int(inside.sum()))
            expected = slow_refined(
                features.select(1), expected, labels, int(inside.sum()), settings, SIZE
            )
    torch.testing.assert_close(ours[1], expected, rtol=1e-4, atol=1e-5)


def test_without_nodes_scores_stay(chip):
    features, scores, image, valid = chip
    assert torch.equal(refine(features, scores, image, valid, RefineSettings(nodes="none")), scores)


@pytest.mark.parametrize("nodes", ["superpixels", "pixels"])
def test_a_batch_of_two_equals_one_by_one(chip, nodes):
    features, scores, image, valid = chip
    settings = RefineSettings(nodes=nodes, window=16)
    both = refine(features, scores, image, valid, settings)
    assert both.shape == scores.shape
    for part in range(2):
        one = slice(part, part + 1)
        alone = refine(features.select(part), scores[one], image[one], valid[one], settings)
        torch.testing.assert_close(both[one], alone)


@pytest.mark.parametrize("nodes", ["superpixels", "pixels", "none"])
def test_invalid_pixels_keep_their_scores_and_the_input_stays(chip, nodes):
    features, scores, image, valid = chip
    before = scores.clone()
    ours = refine(features, scores, image, valid, RefineSettings(nodes=nodes))
    outside = ~valid[1]
    assert torch.equal(ours[1][:, outside], scores[1][:, outside])
    assert torch.equal(scores, before)
    nothing = torch.zeros_like(valid)
    assert torch.equal(
        refine(features, scores, image, nothing, RefineSettings(nodes=nodes)), scores
    )


def test_scores_of_invalid_pixels_have_no_part_in_others(chip):
    features, scores, image, valid = chip
    other = torch.where(valid[:, None], scores, 99.0)
    ours = refine(features, other, image, valid, RefineSettings())
    expected = refine(features, scores, image, valid, RefineSettings())
    assert torch.equal(ours[1][:, valid[1]], expected[1][:, valid[1]])


def striped(scores_of):
    """Three stripes, the outer two alike in image and features; scores by stripe."""
    stripe = (torch.arange(48) // 16).expand(32, 48)
    look = torch.tensor([[0.2, 0.3, 0.2], [0.8, 0.7, 0.6], [0.2, 0.3, 0.2]])
    image = look[stripe].permute(2, 0, 1)[None]
    features = pixel_features(image - 0.45)
    scores = torch.tensor(scores_of)[stripe].permute(2, 0, 1)[None]
    return features, scores, image, torch.ones(1, 32, 48, dtype=torch.bool)


def test_a_noisy_pixel_inside_a_superpixel_is_corrected():
    features, scores, image, valid = striped([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1]])
    noisy = scores.clone()
    noisy[0, :, 9, 5] = torch.tensor([0.2, 0.8])
    assert noisy[0, :, 9, 5].argmax() == 1
    ours = refine(features, noisy, image, valid, RefineSettings())
    assert torch.equal(ours.argmax(1), scores.argmax(1))


def test_regions_alike_share_their_scores_however_far_apart():
    features, scores, image, valid = striped([[0.9, 0.1], [0.2, 0.8], [0.45, 0.55]])
    assert scores[0, :, 0, 40].argmax() == 1
    # without distance, from far away; with a strong decay only neighbours count
    far = refine(features, scores, image, valid, RefineSettings(sigma=0, alpha=0.9))
    assert (far[0, :, :, 32:].argmax(0) == 0).all()
    assert (far[0, :, :, 16:32].argmax(0) == 1).all()
    near = refine(features, scores, image, valid, RefineSettings(sigma=500, alpha=0.9))
    assert (near[0, :, :, 32:].argmax(0) == 1).all()


def test_stretch_by_hand():
    # all positive: against the background's zero; one negative: from it to the largest
    scores = torch.tensor([[0.2, 0.5, 0.4], [-0.1, 0.3, 0.1], [-0.4, -0.2, -0.1]])
    ours = stretch(scores.T[None, :, :, None])[0, ..., 0].T
    expected = torch.tensor([[0.4, 1, 0.8], [0, 1, 0.5], [0, 0.5, 0.75]])
    torch.testing.assert_close(ours, expected)
    assert torch.isfinite(stretch(torch.zeros(1, 3, 2, 2))).all()


def test_the_best_class_of_a_pixel_survives_stretching():
    scores = normal(74, 1, 5, 6, 7)
    assert torch.equal(stretch(scores).argmax(1), scores.argmax(1))


def test_the_defaults_are_the_papers():
    paper = RefineSettings()
    assert (paper.segments, paper.compactness, paper.neighbours) == (5000, 10, 100)
    assert (paper.alpha, paper.gamma, paper.sigma, paper.power) == (0.5, 1, 1, 2)
    assert paper.joint and paper.heat == "cosine" and paper.solver == "fixed_point"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nodes": "superpixel"}, "refine.nodes is 'superpixel'.*Did you mean 'superpixels'"),
        ({"heat": "max"}, "refine.heat is 'max', expected one of cosine, minmax"),
        ({"solver": "direct"}, "refine.solver is 'direct', expected one of conjugate"),
        ({"alpha": 1.0}, r"refine.alpha is 1.0, expected"),
        ({"alpha": float("nan")}, r"refine.alpha is nan, expected"),
        ({"tolerance": 0.0}, r"refine.tolerance is 0.0, expected a number in \(0"),
        ({"segments": 0}, "refine.segments is 0"),
        ({"window": 0}, "refine.window is 0"),
        ({"neighbours": 0}, "refine.neighbours is 0"),
        ({"gamma": -1.0}, "refine.gamma is -1.0"),
        ({"sigma": -1.0}, "refine.sigma is -1.0"),
        ({"power": -1.0}, "refine.power is -1.0"),
        ({"compactness": 0.0}, "refine.compactness is 0.0"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ConfigError, match=message):
        RefineSettings(**settings)


def test_a_chip_of_one_superpixel_gets_its_mean():
    image = torch.full((1, 3, 3, 5), 0.5)
    scores = normal(75, 1, 2, 3, 5)
    ours = refine(
        pixel_features(normal(76, 1, 4, 3, 5)),
        scores,
        image,
        torch.ones(1, 3, 5, dtype=torch.bool),
        RefineSettings(),
    )
    # a node without neighbours has (1 - alpha) of its score
    np.testing.assert_allclose(ours[0, :, 1, 1], scores.mean((2, 3))[0] / 2, rtol=1e-5)


@pytest.mark.parametrize("instructions", [True, False])
def test_nodes_are_compared_by_bfloat16_where_the_processor_has_it(monkeypatch, instructions):
    found = {"avx512_bf16": instructions}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    settings, cpu = RefineSettings(precision="bfloat16"), torch.device("cpu")
    assert settings.products_on(cpu) == (torch.bfloat16 if instructions else torch.float32)
    assert RefineSettings().products_on(cpu) == torch.float32


@pytest.mark.parametrize("of", ["skimage", "torch"])
def test_rounds_of_slic_are_those_of_the_settings(of):
    image = F.interpolate(uniform(91, 1, 3, 9, 12), (61, 84), mode="bilinear")
    features, scores = random_features(92, (61, 84), (6, 8), 4), uniform(93, 1, 2, 61, 84)
    valid = torch.ones(1, 61, 84, dtype=torch.bool)
    found = [
        refine(features, scores, image, valid, RefineSettings(superpixels=of, rounds=rounds))
        for rounds in (1, 10)
    ]
    assert not torch.equal(*found)
    ten = refine(features, scores, image, valid, RefineSettings(superpixels=of))
    assert torch.equal(ten, found[1])
    with pytest.raises(ConfigError, match=r"refine\.rounds"):
        RefineSettings(rounds=0)
