import pytest
import torch
import torch.nn.functional as F
from stand_ins import normal, uniform, with_random_weights

from mapsr import budgets
from mapsr.errors import ConfigError, WeightsError
from mapsr.upsample import GroupedOperator, Naf, NafSettings, PixelFeatures
from mapsr.upsample.naf import neighbourhood

DIM = 12
# image, tokens, output: odd sizes, H != W, more and fewer than 9 tokens, tokens of whole and of
# uneven width, output smaller and larger than the image, and so small that the image is reduced
CASES = [
    ((22, 33), (11, 11), None),
    ((29, 38), (10, 5), None),
    ((13, 11), (3, 4), None),
    ((5, 7), (1, 2), None),
    ((24, 30), (3, 10), (17, 23)),
    ((20, 63), (2, 3), (6, 9)),
    ((12, 20), (6, 4), (31, 23)),
]


def random_naf(seed):
    """NAF with weights that no checkpoint has."""
    return with_random_weights(Naf(), seed)


@pytest.fixture(scope="module")
def network():
    return random_naf(130)


def inputs(seed, image, grid, batch=1, dim=DIM):
    return uniform(seed, batch, 3, *image), normal(seed + 1, batch, dim, *grid)


def dense_naf(network, image, tokens, size):
    """F as published, (B, D, H', W'): whole maps, keys and values enlarged to the pixels."""
    x = (image - network.mean) / network.std
    if x.shape[2] > 4 * size[0] or x.shape[3] > 4 * size[1]:
        least = 4 * min(size)
        reduced = min(x.shape[2], least), min(x.shape[3], least)
        x = F.interpolate(x, reduced, mode="bilinear", align_corners=False)
    both = [
        encoder(x) for encoder in (network.image_encoder.encoder, network.image_encoder.sem_encoder)
    ]
    query = rotated(F.adaptive_avg_pool2d(torch.cat(both, dim=1), size))
    key = F.adaptive_avg_pool2d(query, tokens.shape[2:])
    step = [n // count for n, count in zip(size, tokens.shape[2:], strict=True)]
    query, key, value = (
        F.interpolate(some, size, mode="nearest-exact").unflatten(1, (4, -1))
        for some in (query, key, tokens)
    )
    out = torch.zeros_like(value)
    for row in range(size[0]):
        for column in range(size[1]):
            seen = torch.cartesian_prod(
                *(seen_along(*one) for one in zip((row, column), size, step, strict=True))
            ).T
            near = key[..., seen[0], seen[1]]  # (B, 4, 64, n)
            weights = (query[..., row, column, None] * near / 8).sum(2).softmax(2)
            out[..., row, column] = (value[..., seen[0], seen[1]] * weights[:, :, None]).sum(3)
    return out.flatten(1, 2)


def seen_along(pixel, n, step):
    """The nine pixels, a step apart, nearest to a pixel; all of them where there are fewer."""
    apart = list(range(pixel % step, n, step))
    first = max(0, min(apart.index(pixel) - 4, len(apart) - 9))
    return torch.tensor(apart[first : first + 9])


def rotated(x):
    """Rotary positions of four heads: pairs (i, i + 32), rows in the first 16 of them."""
    places = [(torch.arange(n) + 0.5) / n * 2 - 1 for n in x.shape[2:]]
    out = x.clone()
    for head in range(4):
        for pair in range(32):
            place = places[0][:, None] if pair < 16 else places[1]
            angle = 2 * torch.pi * place / 100 ** (pair % 16 / 16)
            one, other = 64 * head + pair, 64 * head + pair + 32
            out[:, one] = x[:, one] * angle.cos() - x[:, other] * angle.sin()
            out[:, other] = x[:, other] * angle.cos() + x[:, one] * angle.sin()
    return out


def whole(operator, tokens):
    return operator.apply(tokens.flatten(2).transpose(1, 2))


@pytest.mark.parametrize(("size", "grid", "output"), CASES)
@pytest.mark.parametrize("small", [False, True])
def test_strips_and_cells_equal_the_published_way(network, monkeypatch, size, grid, output, small):
    if small:
        monkeypatch.setattr(budgets, "STRIP", budgets.Budget(50))
        monkeypatch.setattr(budgets, "NAF_LOGITS", budgets.Budget(500))
    image, tokens = inputs(131, size, grid)
    ours = whole(network(image, tokens, output), tokens)
    expected = dense_naf(network, image, tokens, output or size)
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-5)


def test_the_algebra_equals_that_of_the_dense_features(network):
    image, tokens = inputs(132, (19, 26), (3, 5), batch=2)
    features = PixelFeatures.of(tokens, network(image, tokens))
    dense = dense_naf(network, image, tokens, (19, 26)).flatten(2).transpose(1, 2)  # (2, H W, D)
    weight, bias = normal(133, 5, DIM), normal(134, 5)
    linear = (dense @ weight.T + bias).transpose(1, 2).unflatten(2, (19, 26))
    labels = torch.randint(-1, 4, (2, 19, 26), generator=torch.Generator().manual_seed(135))
    indicator = F.one_hot(labels.flatten(1) + 1, 5)[..., 1:].transpose(1, 2).float()
    pixels = torch.tensor([493, 0, 17, 17])
    close(features.linear(weight, bias), linear)
    close(features.norm, dense.norm(dim=2).unflatten(1, (19, 26)))
    close(features.sums(labels, 4), indicator @ dense)
    close(features.unit_sums(labels, 4), indicator @ F.normalize(dense, dim=2))
    close(features.at(pixels), dense[:, pixels])
    close(features.select(1).at(pixels), dense[1:, pixels])


def close(ours, expected):
    largest = float(expected.abs().max())
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-5 * largest)


def test_a_batch_of_two_equals_one_by_one(network):
    image, tokens = inputs(136, (13, 22), (3, 5), batch=2)
    both = whole(network(image, tokens), tokens)
    for part in range(2):
        one = slice(part, part + 1)
        alone = whole(network(image[one], tokens[one]), tokens[one])
        torch.testing.assert_close(both[one], alone, rtol=1e-4, atol=1e-5)


def test_constant_tokens_come_back_constant(network):
    image, tokens = uniform(137, 1, 3, 13, 22), normal(138, 1, DIM, 1, 1).expand(-1, -1, 3, 4)
    carried = whole(network(image, tokens), tokens)
    torch.testing.assert_close(carried, tokens[..., :1, :1].expand_as(carried))


def test_the_tokens_do_not_change_the_operator(network):
    image, tokens = inputs(139, (16, 24), (4, 6))
    one, other = network(image, tokens), network(image, tokens.flip(1))
    assert isinstance(one, GroupedOperator)
    for mine, theirs in zip(one.parts, other.parts, strict=True):
        assert torch.equal(mine.weights, theirs.weights)


def test_the_image_decides_where_features_change(network):
    image, tokens = inputs(140, (16, 24), (4, 6))
    seen = whole(network(image, tokens), tokens)
    assert (seen - whole(network(image.flip(3), tokens), tokens)).abs().max() > 0.01


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_an_image_of_one_colour_gives_numbers(network, level):
    tokens = normal(141, 1, DIM, 2, 3)
    assert torch.isfinite(whole(network(torch.full((1, 3, 9, 14), level), tokens), tokens)).all()


def test_bands_beyond_red_green_blue_are_ignored(network):
    image, tokens = inputs(142, (9, 14), (2, 3))
    more = torch.cat([image, uniform(143, 1, 1, 9, 14)], dim=1)
    ours, expected = (whole(network(some, tokens), tokens) for some in (more, image))
    assert torch.equal(ours, expected)


def test_the_operator_keeps_no_graph_and_leaves_its_inputs(network):
    image, tokens = inputs(144, (9, 14), (2, 3))
    before = image.clone(), tokens.clone()
    operator = network(image.requires_grad_(), tokens.requires_grad_())
    assert not any(part.weights.requires_grad for part in operator.parts)
    assert torch.equal(image, before[0])
    assert torch.equal(tokens, before[1])


def test_neighbours_of_20_pixels_over_10_tokens():
    counts = neighbourhood(20, 10)
    # pixels 0 and 19 look at the nine tokens of their side, pixel 10 at those around the sixth
    assert counts[0].tolist() == [1] * 9 + [0]
    assert counts[19].tolist() == [0] + [1] * 9
    assert counts[9].tolist() == [1] * 9 + [0]
    assert counts[10].tolist() == [0] + [1] * 9


def test_where_a_token_is_not_whole_pixels_wide_some_count_twice():
    # 5 pixels over 3 tokens, a step of one pixel: they lie above tokens 0, 0, 1, 2, 2
    assert neighbourhood(5, 3).tolist() == [[2, 1, 2]] * 5


@pytest.mark.parametrize(
    ("image", "grid", "dim", "size", "message"),
    [
        ((8, 12), (2, 3), 10, None, r"tokens have length 10, but NAF needs a multiple of 4"),
        ((1, 12), (1, 3), 8, None, r"at least 2 x 2 px, got 1 x 12"),
        ((8, 12), (2, 3), 8, (8, 2), r"one pixel per token, got 8 x 2 px for 2 x 3 tokens"),
    ],
)
def test_what_naf_can_not_do_is_refused(network, image, grid, dim, size, message):
    with pytest.raises(ConfigError, match=message):
        network(*inputs(145, image, grid, dim=dim), size)


def published_entries():
    """Names and shapes of the public checkpoint."""
    shapes = {"image_encoder.rope.periods": (16,)}
    for part, side in {"encoder": 1, "sem_encoder": 3}.items():
        name = f"image_encoder.{part}"
        shapes |= {f"{name}.0.weight": (128, 3, side, side), f"{name}.0.bias": (128,)}
        for block in (f"{name}.1", f"{name}.2"):
            for one in "12":
                shapes[f"{block}.norm{one}.weight"] = (128,)
                shapes[f"{block}.norm{one}.bias"] = (128,)
                shapes[f"{block}.conv{one}.weight"] = (128, 128, side, side)
                shapes[f"{block}.conv{one}.bias"] = (128,)
    return shapes


def test_the_state_has_the_published_entries():
    network = Naf()
    state = network.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == published_entries()
    assert sum(parameter.numel() for parameter in network.parameters()) == 662_528


def test_a_checkpoint_goes_through_a_file(tmp_path, network):
    path = tmp_path / "trained.pth"
    torch.save(network.state_dict(), path)
    loaded = NafSettings(checkpoint=str(path)).build()
    image, tokens = inputs(146, (9, 14), (2, 3))
    ours, expected = (whole(some(image, tokens), tokens) for some in (loaded, network))
    assert torch.equal(ours, expected)
    assert loaded.weights is not None
    assert loaded.weights["name"] == "naf"
    assert len(loaded.weights["sha256"]) == 64
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_the_periods_are_those_of_the_checkpoint(network):
    """They are no parameters, but part of the checkpoint, which decides."""
    image, tokens = inputs(147, (9, 14), (2, 3))
    before = whole(network(image, tokens), tokens)
    other = Naf()
    state = dict(network.state_dict())
    state["image_encoder.rope.periods"] = state["image_encoder.rope.periods"] * 3
    other.load(state, "here.pth")
    assert (whole(other(image, tokens), tokens) - before).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("image_encoder.rope.periods"), "Missing key.*rope.periods"),
        (lambda state: state.update(extra=torch.zeros(1)), "Unexpected key.*extra"),
        (
            lambda state: state.update({"image_encoder.encoder.0.bias": torch.zeros(64)}),
            "size mismatch",
        ),
    ],
)
def test_a_foreign_checkpoint_is_refused(network, change, message):
    state = dict(network.state_dict())
    change(state)
    with pytest.raises(WeightsError, match=f"here.pth is not a NAF checkpoint: {message}"):
        Naf().load(state, "here.pth")


def test_without_a_checkpoint_it_is_told_where_to_get_one():
    with pytest.raises(WeightsError, match=r"checkpoint is unset.*fetch naf_release\.pth.*and set"):
        NafSettings().build()
