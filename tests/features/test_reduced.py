import pytest
import stand_ins  # noqa: F401 - one thread
import torch
import torch.nn.functional as F
from stand_ins import MeanColour, uniform
from torch import nn

from mapsr.features import ViT, ViTSettings, reduced
from mapsr.features.cache import TokenCache
from mapsr.features.cached import CachedEncoder
from mapsr.features.reduced import FIRST, headwise_attention, quantise, whole_linear

SETTINGS = ViTSettings("vit_tiny_patch16_224", layer=1)
CPU = torch.device("cpu")
BFLOAT16 = torch.bfloat16


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(40)
    return ViT(SETTINGS)


@pytest.fixture(scope="module")
def half(encoder):
    other = ViT(SETTINGS)
    other.load(encoder.vit.state_dict(), "here")
    return other.reduce(BFLOAT16, BFLOAT16)


def test_tokens_are_near_those_of_float32_and_float32_themselves(encoder, half):
    image = uniform(41, 2, 3, 48, 64)
    whole, tokens = encoder(image), half(image)
    assert tokens.dtype == torch.float32
    assert tokens.shape == whole.shape == (2, 192, 3, 4)
    assert not torch.equal(tokens, whole)
    cosine = torch.cosine_similarity(tokens, whole, dim=1)
    assert cosine.min() > 0.999
    assert (tokens - whole).abs().max() < 0.05 * whole.abs().max()


def test_what_is_summed_and_normed_stays_float32(half):
    block, seen = half.vit.blocks[1], []
    assert block.mlp.fc1.weight.dtype == half.vit.patch_embed.proj.weight.dtype == torch.bfloat16
    assert block.norm1.weight.dtype == half.vit.pos_embed.dtype == torch.float32
    hook = block.register_forward_pre_hook(lambda _, given: seen.append(given[0].dtype))
    half(uniform(42, 1, 3, 32, 48))
    hook.remove()
    assert seen == [torch.float32]


def test_an_encoder_that_was_not_halved_is_left_alone(encoder):
    before = [parameter.clone() for parameter in encoder.parameters()]
    ViT(SETTINGS).reduce(torch.int8, BFLOAT16)
    assert encoder.precision == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))
    assert nn.Linear(2, 2).weight.dtype == torch.float32


def test_tokens_of_both_are_cached_apart(tmp_path):
    cache, image = TokenCache(tmp_path, 1.0), uniform(43, 1, 3, 8, 12)
    CachedEncoder(MeanColour(), {}, cache)(image)
    encoder = MeanColour().reduce(BFLOAT16, BFLOAT16)
    CachedEncoder(encoder, {}, cache)(image)
    assert encoder.calls == 1
    assert (cache.hits, cache.misses) == (0, 2)


def test_int8_and_bfloat16_tokens_are_cached_apart(tmp_path):
    cache, image = TokenCache(tmp_path, 1.0), uniform(43, 1, 3, 8, 12)
    CachedEncoder(MeanColour().reduce(BFLOAT16, BFLOAT16), {}, cache)(image)
    CachedEncoder(MeanColour().reduce(torch.int8, BFLOAT16), {}, cache)(image)
    assert (cache.hits, cache.misses) == (0, 2)


def test_tokens_that_were_rounded_otherwise_are_not_taken_from_the_cache(tmp_path, monkeypatch):
    cache, image = TokenCache(tmp_path, 1.0), uniform(43, 1, 3, 8, 12)
    CachedEncoder(MeanColour().reduce(torch.int8, BFLOAT16), {}, cache)(image)
    monkeypatch.setattr("mapsr.features.cached.ROUNDING", 3)
    CachedEncoder(MeanColour().reduce(torch.int8, BFLOAT16), {}, cache)(image)
    assert (cache.hits, cache.misses) == (0, 2)


@pytest.mark.parametrize("others", [torch.float32, BFLOAT16])
def test_int8_tokens_are_near_those_of_float32_and_float32_themselves(encoder, others):
    other = ViT(SETTINGS)
    other.load(encoder.vit.state_dict(), "here")
    other.reduce(torch.int8, others)
    image = uniform(41, 2, 3, 48, 64)
    whole, tokens = encoder(image), other(image)
    assert tokens.dtype == torch.float32 and tokens.shape == whole.shape
    assert not torch.equal(tokens, whole)
    assert torch.cosine_similarity(tokens, whole, dim=1).min() > 0.998
    assert not torch.equal(tokens, other.reduce(torch.float32, others)(image))


def test_a_quantised_layer_by_hand():
    layer = nn.Linear(3, 2, bias=True).requires_grad_(False)
    layer.weight[:] = torch.tensor([[127.0, -3.4, 1.0], [0.5, 1.0, 0.0]])
    layer.bias[:] = torch.tensor([10.0, 0.0])
    quantise(layer, first=0)
    # weights 127, -3, 1 in steps of one; 64, 127, 0 in steps of 1/127
    assert layer.whole_weight.T.tolist() == [[127, -3, 1], [64, 127, 0]]
    # 0 .. 254 in steps of one: 100.4 is 100; -5 .. 503 in steps of two: 98.2 is 99
    x = torch.tensor([[254.0, 0.0, 100.4], [503.0, -5.0, 98.2], [0.0, 0.0, 0.0], [2.5, 2.5, 2.5]])
    found = whole_linear(x, layer, layer.bias)
    expected = [
        [254 * 127 + 100 + 10, 254 * 64 / 127],
        [503 * 127 + 5 * 3 + 99 + 10, (503 * 64 - 5 * 127) / 127],
        [10, 0],
        [2.5 * 125 + 10, 2.5 * 191 / 127],
    ]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_rows_of_nearly_equal_values_are_multiplied_all_the_same():
    layer = nn.Linear(64, 32).requires_grad_(False)
    quantise(layer, first=0)
    x = 1e4 + torch.tensor([0.0, 1e-3, 1.0])[:, None] * uniform(46, 3, 64)
    weight = layer.whole_weight.T * layer.weight_scale[:, None].double()
    expected = F.linear(x.double(), weight, layer.bias.double())
    error = (whole_linear(x, layer, layer.bias) - expected).abs().max()
    assert error < 0.1


def test_values_of_one_sign_have_as_many_steps_as_others():
    layer = nn.Linear(64, 32, bias=False).requires_grad_(False)
    layer.weight[:] = layer.weight.sign()  # without rounding of their own
    quantise(layer, first=0)
    x = uniform(47, 200, 64)  # in [0, 1]: steps of 1/254, each rounded by 1/508 at the most
    whole = F.linear(x, layer.weight)
    error = whole_linear(x, layer, None) - whole
    assert error.square().mean().sqrt() < 1.1 * (64 / 12) ** 0.5 / 254


def test_the_first_block_keeps_its_numbers():
    other = ViT(SETTINGS)
    other.reduce(torch.int8, BFLOAT16)
    kept = [
        name
        for name, module in other.named_modules()
        if isinstance(module, nn.Linear) and not hasattr(module, "whole_weight")
    ]
    assert [name.removeprefix("vit.blocks.0.") for name in kept] == [
        "attn.qkv",
        "attn.proj",
        "mlp.fc1",
        "mlp.fc2",
    ]


def test_an_outlier_of_one_token_does_not_coarsen_the_others():
    layer = nn.Linear(64, 32).requires_grad_(False)
    quantise(layer, first=0)
    x = uniform(44, 5, 64)
    alone = whole_linear(x[:4], layer, layer.bias)
    x[4] *= 1e6
    assert torch.equal(whole_linear(x, layer, layer.bias)[:4], alone)


def test_what_is_no_number_stays_none():
    layer = nn.Linear(8, 4).requires_grad_(False)
    quantise(layer, first=0)
    x = uniform(45, 2, 8)
    x[0, 3] = torch.nan
    found = whole_linear(x, layer, layer.bias)
    assert found[0].isnan().all() and found[1].isfinite().all()


def test_linear_layers_are_int8_also_where_a_model_multiplies_by_itself(monkeypatch):
    """timm's EVA, for one, takes the weight of its layer and calls linear()."""

    class Own(MeanColour):
        def __init__(self):
            super().__init__()
            self.before = nn.ModuleList(nn.Linear(4, 4) for _ in range(FIRST))
            self.layer = nn.Linear(4, 3, bias=False).requires_grad_(False)

        def encode(self, image):
            tokens = super().encode(image)
            return nn.functional.linear(tokens.movedim(1, -1), self.layer.weight).movedim(-1, 1)

    calls = []
    kept = torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", lambda *given: calls.append(1) or kept(*given))
    Own().reduce(torch.int8, torch.float32)(uniform(46, 1, 3, 8, 12))
    assert calls == [1]


@pytest.mark.parametrize("scale", [None, 0.3])
def test_attention_head_by_head_is_attention(scale):
    query, key = uniform(47, 2, 3, 40, 8), uniform(48, 2, 3, 50, 8)
    value = uniform(49, 2, 3, 50, 6)
    key += 5  # a mean that shifts all logits of a query alike
    exact = nn.functional.scaled_dot_product_attention(query, key, value, scale=scale)
    found = headwise_attention(*(one.to(BFLOAT16) for one in (query, key, value)), scale)
    assert found.dtype == BFLOAT16
    torch.testing.assert_close(found.float(), exact, rtol=0.02, atol=0.005)


def test_attention_with_a_mask_is_left_to_torch(half, monkeypatch):
    monkeypatch.setattr(reduced, "headwise_attention", lambda *_: pytest.fail("masked"))
    one = uniform(50, 1, 2, 300, 8).to(BFLOAT16)
    attention = nn.functional.scaled_dot_product_attention
    with reduced.reduced(half, CPU, BFLOAT16, BFLOAT16):
        attention(one, one, one, attn_mask=torch.ones(300, 300, dtype=torch.bool))
        attention(one, one, one, is_causal=True)
        attention(one[:, :, :20], one[:, :, :20], one[:, :, :20])  # few: all heads at once


def test_attention_over_many_tokens_goes_head_by_head(half, monkeypatch):
    calls, kept = [], reduced.headwise_attention
    monkeypatch.setattr(
        reduced, "headwise_attention", lambda *given: calls.append(1) or kept(*given)
    )
    half(uniform(51, 1, 3, 256, 272))  # 16 x 17 tokens and one more
    assert len(calls) == 2  # the blocks up to layer 1


def test_autocast_around_attention_changes_nothing():
    one = [uniform(seed, 1, 2, 30, 8).to(BFLOAT16) for seed in (52, 53, 54)]
    found = headwise_attention(*one, None)
    with torch.autocast("cpu", BFLOAT16):
        assert torch.equal(headwise_attention(*one, None), found)
    # its softmax is of bfloat16 numbers: of float32 the weights would be finer
    query, key, value = (part[0, 0] for part in one)
    logits = (query * 8**-0.5) @ (key - key.mean(0)).T
    assert torch.equal(found[0, 0], logits.softmax(1) @ value)


def test_a_compiled_encoder_is_left_to_torch(half, monkeypatch):
    monkeypatch.setattr(reduced, "headwise_attention", lambda *_: pytest.fail("not compiled"))
    monkeypatch.setattr(half, "eager", False)
    half(uniform(51, 1, 3, 256, 272))
