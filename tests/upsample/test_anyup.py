import pytest
import torch
import torch.nn.functional as F
from stand_ins import dense, normal, random_anyup, uniform

from mapsr import budgets
from mapsr.errors import ConfigError, WeightsError
from mapsr.upsample import AnyUp, AnyUpSettings, anyup
from mapsr.upsample.anyup import window
from mapsr.upsample.dense import dense_anyup
from mapsr.upsample.unification import FeatureUnification

# image, tokens, output: odd, H != W, output smaller and larger than the image, one pixel per token
CASES = [
    ((29, 38), (3, 5), None),
    ((29, 38), (2, 7), (11, 17)),
    ((12, 20), (6, 4), (31, 23)),
    ((5, 4), (5, 4), None),
    ((24, 30), (12, 14), None),  # the first pixel sees more than one token
]


@pytest.fixture(scope="module")
def network():
    return random_anyup(40)


def features(operator, tokens):
    return (dense(operator) @ tokens.flatten(2).transpose(1, 2))[0]


def inputs(seed, image, grid, dim=10):
    return uniform(seed, 1, 3, *image), normal(seed + 1, 1, dim, *grid)


@pytest.mark.parametrize(("size", "grid", "output"), CASES)
@pytest.mark.parametrize("strip", [4096, 50])
def test_strips_and_cells_equal_the_published_way(network, monkeypatch, size, grid, output, strip):
    monkeypatch.setattr(budgets, "STRIP", budgets.Budget(strip))
    image, tokens = inputs(41, size, grid)
    ours = features(network(image, tokens, output), tokens)
    expected = dense_anyup(network, image, tokens, output)
    largest = float(expected.abs().max())
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5 * largest)


def test_the_image_decides_where_features_change(network):
    image, tokens = inputs(43, (16, 24), (4, 6))
    seen = dense(network(image, tokens))
    assert (seen - dense(network(image.flip(3), tokens))).abs().max() > 0.01


def test_small_chunks_of_attention_equal_one(network, monkeypatch):
    image, tokens = inputs(44, (18, 25), (4, 5))
    whole = dense(network(image, tokens))
    monkeypatch.setattr(budgets, "ANYUP_LOGITS", budgets.Budget(500))
    torch.testing.assert_close(dense(network(image, tokens)), whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("strip", [4096, 50])
def test_bfloat16_products_give_nearly_the_same_operator(network, monkeypatch, strip):
    monkeypatch.setattr(budgets, "STRIP", budgets.Budget(strip))
    image, tokens = inputs(42, (29, 38), (3, 5))
    other = random_anyup(40)
    other.precision = torch.bfloat16
    operator, exact = other(image, tokens), network(image, tokens)
    assert operator.weights.dtype == torch.float32
    ours, expected = dense(operator), dense(exact)
    torch.testing.assert_close(ours.sum(2), torch.ones(1, 29 * 38))
    assert 0 < (ours - expected).abs().max() < 0.05
    assert (ours - expected).abs().mean() < 0.005


def test_a_strip_is_a_row_at_the_least(network, monkeypatch):
    image, tokens = inputs(45, (7, 30), (2, 4))
    whole = dense(network(image, tokens))
    monkeypatch.setattr(budgets, "STRIP", budgets.Budget(1))
    torch.testing.assert_close(dense(network(image, tokens)), whole, rtol=1e-4, atol=1e-6)


def test_constant_tokens_come_back_constant(network):
    image, tokens = uniform(46, 1, 3, 13, 22), normal(47, 1, 6, 1, 1).expand(-1, -1, 3, 4)
    carried = network(image, tokens).apply(tokens.flatten(2).transpose(1, 2))
    torch.testing.assert_close(carried, tokens[..., :1, :1].expand_as(carried))


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_an_image_of_one_colour_gives_numbers(network, level):
    tokens = normal(48, 1, 6, 2, 3)
    assert torch.isfinite(dense(network(torch.full((1, 3, 9, 14), level), tokens))).all()


def test_bands_beyond_red_green_blue_are_ignored(network):
    image, tokens = inputs(49, (9, 14), (2, 3))
    more = torch.cat([image, uniform(50, 1, 1, 9, 14)], dim=1)
    assert torch.equal(dense(network(more, tokens)), dense(network(image, tokens)))


@pytest.mark.parametrize("grid", [(1, 4), (4, 1)])
def test_fewer_than_two_by_two_tokens_are_refused(network, grid):
    with pytest.raises(ConfigError, match=f"at least 2 x 2 tokens, got {grid[0]} x {grid[1]}"):
        network(*inputs(51, (12, 12), grid))


def published_entries():
    """Names and shapes of a public checkpoint."""
    shapes = {
        "image_encoder.0.weight": (128, 3, 1, 1),
        "key_encoder.0.weight": (128, 128, 1, 1),
        "query_encoder.0.weight": (128, 128, 1, 1),
        "key_features_encoder.0.basis": (128, 1, 5, 5),
        "aggregation.0.weight": (128, 256, 3, 3),
        "cross_decode.conv2d.weight": (128, 128, 3, 3),
        "cross_decode.cross_attn.norm_q.weight": (128,),
        "cross_decode.cross_attn.norm_k.weight": (128,),
        "cross_decode.cross_attn.attention.in_proj_weight": (384, 128),
        "cross_decode.cross_attn.attention.in_proj_bias": (384,),
        "cross_decode.cross_attn.attention.out_proj.weight": (128, 128),
        "cross_decode.cross_attn.attention.out_proj.bias": (128,),
        "rope.freqs": (2, 128),
    }
    for part in ("image", "key", "query", "key_features"):
        shapes |= block_entries(f"{part}_encoder")
    return shapes | block_entries("aggregation")


def block_entries(part):
    shapes = {}
    for block in ("1", "2"):
        for norm, convolution in (("0", "2"), ("3", "5")):
            shapes[f"{part}.{block}.block.{norm}.weight"] = (128,)
            shapes[f"{part}.{block}.block.{norm}.bias"] = (128,)
            shapes[f"{part}.{block}.block.{convolution}.weight"] = (128, 128, 1, 1)
    return shapes


def test_the_state_has_the_published_entries_and_no_buffers():
    state = AnyUp().state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == published_entries()
    assert len(state) == 73
    assert sum(value.numel() for value in state.values()) == 878_080


def test_a_checkpoint_goes_through_a_file(tmp_path, network):
    path = tmp_path / "trained.pth"
    torch.save(network.state_dict(), path)
    loaded = AnyUpSettings(checkpoint=str(path)).build()
    image, tokens = inputs(52, (9, 14), (2, 3))
    assert torch.equal(dense(loaded(image, tokens)), dense(network(image, tokens)))
    assert loaded.weights is not None
    assert loaded.weights["name"] == "trained.pth"
    assert len(loaded.weights["sha256"]) == 64
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("rope.freqs"), "Missing key.*rope.freqs"),
        (lambda state: state.update(extra=torch.zeros(1)), "Unexpected key.*extra"),
        (lambda state: state.update({"rope.freqs": torch.zeros(2, 64)}), "size mismatch"),
    ],
)
def test_a_foreign_checkpoint_is_refused(network, change, message):
    state = dict(network.state_dict())
    change(state)
    with pytest.raises(WeightsError, match=f"here.pth is not an AnyUp checkpoint: {message}"):
        AnyUp().load(state, "here.pth")


def test_windows_of_32_tokens_under_448_pixels():
    low, high = window(448, 32)
    width = (high - low).double()
    assert (int(width.min()), int(width.max())) == (4, 8)
    assert float(width.mean() ** 2) == pytest.approx(49, abs=0.5)
    # the first pixel's centre is 0.5 / 448: tokens from 0 to ceil(32 * (0.5 / 448 + 0.1)) = 4
    assert (int(low[0]), int(high[0])) == (0, 4)
    # the 224th: 32 * (223.5 / 448 -+ 0.1) = 12.76 and 19.16
    assert (int(low[223]), int(high[223])) == (12, 20)
    assert (int(low[447]), int(high[447])) == (28, 32)


def slow_unification(tokens, basis):
    """The published view, one response after the other."""
    batch, channels, h, w = tokens.shape
    filters = len(basis)
    padded = F.pad(tokens, (2, 2, 2, 2))
    out = torch.zeros(batch, filters, h, w)
    for image in range(batch):
        for row in range(h):
            for column in range(w):
                around = padded[image, :, row : row + 5, column : column + 5]  # (C, 5, 5)
                taps = sum(
                    0 <= row + i < h and 0 <= column + j < w
                    for i in range(-2, 3)
                    for j in range(-2, 3)
                )
                response = torch.einsum("cij,oij->co", around, basis[:, 0]) / taps
                flat = response.flatten()  # entry 128 c + o
                view = torch.stack(
                    [flat[a * channels : (a + 1) * channels] for a in range(filters)]
                )
                out[image, :, row, column] = view.softmax(0).mean(1)
    return out


@pytest.mark.parametrize("channels", [128, 256, 6, 130])
def test_feature_unification_views_responses_as_published(channels):
    module = FeatureUnification(128)
    basis = normal(53, 128, 1, 5, 5)
    module.basis.data.copy_(basis)
    tokens = normal(54, 2, channels, 3, 4)
    ours = module(tokens).detach()
    torch.testing.assert_close(ours, slow_unification(tokens, basis), rtol=1e-4, atol=1e-6)


def test_feature_unification_in_parts_equals_whole(monkeypatch):
    module = FeatureUnification(128).requires_grad_(False)
    tokens = normal(55, 2, 7, 9, 4)
    whole = module(tokens)
    monkeypatch.setattr(budgets, "RESPONSES", budgets.Budget(3 * 7 * 128))
    torch.testing.assert_close(module(tokens), whole)


@pytest.mark.shared
@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_the_public_checkpoints_give_the_published_output(shared, case):
    from safetensors.torch import load_file

    reference = load_file(shared / "reference/anyup.safetensors")
    name = "anyup_paper" if case == "a" else "anyup_multi_backbone"
    network = AnyUpSettings(weights=name).build(str(shared / "weights"))
    given = "a" if case == "a" else "b"
    normalised, tokens = reference[f"{given}.image"][None], reference[f"{given}.tokens"][None]
    image = normalised * network.std + network.mean
    expected = reference[f"{case}.output"]
    operator = network(image, tokens, tuple(expected.shape[1:]))
    ours = operator.apply(tokens.flatten(2).transpose(1, 2))[0]
    largest = float(expected.abs().max())
    # in case a the published float32 output is 1.06e-5 away from the same network in float64
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-5 * largest)


def test_the_image_goes_in_as_the_public_checkpoints_expect_it(network):
    # ImageNet's statistics, typed: red, green, blue in [0, 1]
    image, tokens = inputs(61, (12, 20), (3, 5))
    typed = torch.stack(
        [
            (image[:, 0] - 0.485) / 0.229,
            (image[:, 1] - 0.456) / 0.224,
            (image[:, 2] - 0.406) / 0.225,
        ],
        dim=1,
    )
    torch.testing.assert_close(network.normalise(image), typed)
    seen = []
    network_of = network._encode_image
    network._encode_image = lambda given: (seen.append(given), network_of(given))[1]
    try:
        network(image, tokens)
    finally:
        del network._encode_image
    torch.testing.assert_close(seen[0], typed)
    # four heads of 32 in eight groups, windows of a tenth of the side
    assert (anyup.WIDTH, anyup.HEADS, anyup.GROUPS, anyup.REACH) == (128, 4, 8, 0.1)
