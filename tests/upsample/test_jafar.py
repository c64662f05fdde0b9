import pytest
import torch
import torch.nn.functional as F
from stand_ins import dense, normal, uniform, with_random_weights

from mapsr import budgets
from mapsr.errors import ConfigError, WeightsError
from mapsr.upsample import GlobalOperator, Jafar, JafarSettings

DIM = 10
# image, tokens, output: odd, H != W, output smaller and larger than the image, one token in all
CASES = [
    ((29, 38), (3, 5), None),
    ((29, 38), (2, 7), (11, 17)),
    ((12, 20), (6, 4), (31, 23)),
    ((5, 4), (1, 1), None),
]


def random_jafar(seed, dim=DIM):
    """JAFAR with weights that no checkpoint has."""
    return with_random_weights(Jafar(dim), seed)


@pytest.fixture(scope="module")
def network():
    return random_jafar(80)


def inputs(seed, image, grid, batch=1):
    return uniform(seed, batch, 3, *image), normal(seed + 1, batch, DIM, *grid)


def dense_jafar(network, image, tokens, size):
    """A as published, (1, H' W', h w): whole maps, torch's own attention."""
    grid = tokens.shape[2:]
    encoded = rotated(network, network.image_encoder((image - network.mean) / network.std))
    query = F.group_norm(F.adaptive_avg_pool2d(network.query_encoder(encoded), size), 8)
    query = network.cross_decode.conv2d(query).flatten(2).transpose(1, 2)
    own = network.key_features_encoder(F.normalize(tokens, dim=1))
    pooled = F.group_norm(F.adaptive_avg_pool2d(network.key_encoder(encoded), grid), 8)
    key = network.sft_key.gamma(own) * pooled + network.sft_key.beta(own)
    key = key.flatten(2).transpose(1, 2)
    cross = network.cross_decode.cross_attn
    attention = torch.nn.MultiheadAttention(128, 4, vdim=network.dim, batch_first=True)
    attention.load_state_dict(cross.attention.state_dict())
    value = cross.norm_v(tokens.flatten(2).transpose(1, 2))
    return attention(cross.norm_q(query), cross.norm_k(key), value)[1].detach()


def rotated(network, x):
    rows, columns = (torch.linspace(0, 1, n) for n in x.shape[2:])
    first, second = network.rope.freqs
    angle = rows[:, None, None] * first + columns[:, None] * second  # (H, W, 128)
    angle = angle.permute(2, 0, 1)
    return x * angle.cos() + torch.cat([-x[:, 64:], x[:, :64]], dim=1) * angle.sin()


@pytest.mark.parametrize(("size", "grid", "output"), CASES)
@pytest.mark.parametrize("small", [False, True])
def test_strips_and_blocks_equal_the_published_way(network, monkeypatch, size, grid, output, small):
    if small:
        monkeypatch.setattr(budgets, "STRIP", budgets.Budget(50))
        monkeypatch.setattr(budgets, "ATTENTION", budgets.Budget(100))
    image, tokens = inputs(81, size, grid)
    ours = dense(network(image, tokens, output))
    expected = dense_jafar(network, image, tokens, output or size)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


def test_queries_are_projected_in_parts(network, monkeypatch):
    from mapsr.upsample import jafar

    image, tokens = inputs(82, (9, 13), (2, 3))
    whole = network(image, tokens).queries
    monkeypatch.setattr(jafar, "_PIXELS", 10)
    torch.testing.assert_close(network(image, tokens).queries, whole)


def test_a_batch_of_two_equals_one_by_one(network):
    image, tokens = inputs(83, (13, 22), (3, 5), batch=2)
    both = dense(network(image, tokens), 2)
    for part in range(2):
        alone = dense(network(image[part : part + 1], tokens[part : part + 1]))
        torch.testing.assert_close(both[part], alone[0], rtol=1e-4, atol=1e-5)


def test_constant_tokens_come_back_constant(network):
    image, tokens = uniform(84, 1, 3, 13, 22), normal(85, 1, DIM, 1, 1).expand(-1, -1, 3, 4)
    carried = network(image, tokens).apply(tokens.flatten(2).transpose(1, 2))
    torch.testing.assert_close(carried, tokens[..., :1, :1].expand_as(carried))


def test_rows_sum_to_one(network):
    matrix = dense(network(*inputs(86, (13, 22), (3, 5))))
    torch.testing.assert_close(matrix.sum(2), torch.ones(1, 13 * 22))


def test_the_image_decides_where_features_change(network):
    image, tokens = inputs(87, (16, 24), (4, 6))
    seen = dense(network(image, tokens))
    assert (seen - dense(network(image.flip(3), tokens))).abs().max() > 0.01


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_an_image_of_one_colour_gives_numbers(network, level):
    tokens = normal(88, 1, DIM, 2, 3)
    assert torch.isfinite(dense(network(torch.full((1, 3, 9, 14), level), tokens))).all()


def test_bands_beyond_red_green_blue_are_ignored(network):
    image, tokens = inputs(89, (9, 14), (2, 3))
    more = torch.cat([image, uniform(90, 1, 1, 9, 14)], dim=1)
    assert torch.equal(dense(network(more, tokens)), dense(network(image, tokens)))


def test_the_operator_keeps_no_graph_and_leaves_its_inputs(network):
    image, tokens = inputs(91, (9, 14), (2, 3))
    before = image.clone(), tokens.clone()
    operator = network(image.requires_grad_(), tokens.requires_grad_())
    assert isinstance(operator, GlobalOperator)
    assert not operator.queries.requires_grad
    assert not operator.keys.requires_grad
    assert torch.equal(image, before[0])
    assert torch.equal(tokens, before[1])


def test_tokens_of_another_length_are_refused(network):
    with pytest.raises(ConfigError, match=r"tokens have length 12, but upsampler\.dim is 10: .*"):
        network(uniform(92, 1, 3, 8, 12), normal(93, 1, 12, 2, 3))


def published_entries(dim):
    """Names and shapes of a public checkpoint."""
    cross = "cross_decode.cross_attn"
    shapes = {
        "cross_decode.conv2d.weight": (128, 128, 3, 3),
        f"{cross}.norm_q.weight": (128,),
        f"{cross}.norm_k.weight": (128,),
        f"{cross}.norm_v.weight": (dim,),
        f"{cross}.attention.q_proj_weight": (128, 128),
        f"{cross}.attention.k_proj_weight": (128, 128),
        f"{cross}.attention.v_proj_weight": (128, dim),
        f"{cross}.attention.in_proj_bias": (384,),
        f"{cross}.attention.out_proj.weight": (128, 128),
        f"{cross}.attention.out_proj.bias": (128,),
        "sft_key.gamma.weight": (128, 128, 1, 1),
        "sft_key.beta.weight": (128, 128, 1, 1),
        "rope.freqs": (2, 128),
    }
    for part, bands in {"image": 3, "key": 128, "query": 128, "key_features": dim}.items():
        shapes[f"{part}_encoder.0.weight"] = (128, bands, 1, 1)
        for block in (f"{part}_encoder.1", f"{part}_encoder.2"):
            for one in "12":
                shapes[f"{block}.norm{one}.weight"] = (128,)
                shapes[f"{block}.norm{one}.bias"] = (128,)
                shapes[f"{block}.conv{one}.weight"] = (128, 128, 1, 1)
    return shapes


@pytest.mark.parametrize(("dim", "parameters"), [(384, 628_480), (768, 727_168), (1024, 792_960)])
def test_the_state_has_the_published_entries_and_no_buffers(dim, parameters):
    with torch.device("meta"):
        state = Jafar(dim).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == published_entries(dim)
    assert sum(value.numel() for value in state.values()) == parameters


def test_the_attention_has_the_entries_of_torch():
    """Entries of the attention are torch's own for values of another length than the queries."""
    ours = Jafar(384).cross_decode.cross_attn.attention.state_dict()
    torchs = torch.nn.MultiheadAttention(128, 4, vdim=384).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in torchs.items()}


def test_a_checkpoint_goes_through_a_file(tmp_path, network):
    path = tmp_path / "trained.pth"
    torch.save({"jafar": network.state_dict(), "epoch": 3}, path)
    loaded = JafarSettings(checkpoint=str(path), dim=DIM).build()
    image, tokens = inputs(94, (9, 14), (2, 3))
    assert torch.equal(dense(loaded(image, tokens)), dense(network(image, tokens)))
    assert loaded.weights is not None
    assert loaded.weights["name"] == "jafar_dinov2_vitb14"
    assert len(loaded.weights["sha256"]) == 64
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("rope.freqs"), "Missing key.*rope.freqs"),
        (
            lambda state: state.pop("cross_decode.cross_attn.norm_v.weight"),
            "Missing key.*norm_v.weight",
        ),
        (lambda state: state.update(extra=torch.zeros(1)), "Unexpected key.*extra"),
        (lambda state: state.update({"rope.freqs": torch.zeros(2, 64)}), "size mismatch"),
    ],
)
def test_a_foreign_checkpoint_is_refused(network, change, message):
    state = dict(network.state_dict())
    change(state)
    with pytest.raises(WeightsError, match=f"here.pth is not a JAFAR checkpoint: {message}"):
        Jafar(DIM).load(state, "here.pth")


def test_a_checkpoint_for_tokens_of_another_length_is_refused(network):
    message = r"here\.pth is for tokens of length 10, but upsampler\.dim is 12: set upsampler\.dim"
    with pytest.raises(WeightsError, match=message):
        Jafar(12).load(network.state_dict(), "here.pth")


@pytest.mark.parametrize(
    "content", [{"rope.freqs": torch.zeros(2, 128)}, {"jafar": {"epoch": 3}}, [torch.zeros(2)]]
)
def test_a_file_without_the_entry_is_refused(tmp_path, content):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    message = r"other\.pth is not a JAFAR checkpoint: it has no state dict below the entry 'jafar'"
    with pytest.raises(WeightsError, match=message):
        JafarSettings(checkpoint=str(path)).build()


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "cut.pth"
    path.write_bytes(b"garbage, no tensors")
    with pytest.raises(WeightsError, match=r"can't read the weights in .*cut\.pth"):
        JafarSettings(checkpoint=str(path)).build()


def test_without_a_checkpoint_it_is_told_where_to_get_one():
    with pytest.raises(WeightsError, match=r"checkpoint is unset.*fetch vit_base.*and set"):
        JafarSettings().build()


def test_a_checkpoint_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"checkpoint is '.*gone\.pth', which is not a file"):
        JafarSettings(checkpoint=str(tmp_path / "gone.pth")).build()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": "jafar_dinov2_vitb"}, r"upsampler\.weights is .*Did you mean 'jafar_dinov2"),
        ({"dim": 0}, r"upsampler\.dim is 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        JafarSettings(**settings)
