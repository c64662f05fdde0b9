import pytest
import stand_ins  # noqa: F401 - one thread
import torch
from stand_ins import MeanColour, uniform
from torch import nn

from mapsr.features import ViT, ViTSettings
from mapsr.features.cache import TokenCache
from mapsr.features.cached import CachedEncoder
from mapsr.features.half import halve, multiplies_bfloat16

SETTINGS = ViTSettings("vit_tiny_patch16_224", layer=1)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(40)
    return ViT(SETTINGS)


@pytest.fixture(scope="module")
def half(encoder):
    other = ViT(SETTINGS)
    other.load(encoder.vit.state_dict(), "here")
    return halve(other)


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
    halve(ViT(SETTINGS))
    assert encoder.precision == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))
    assert nn.Linear(2, 2).weight.dtype == torch.float32


def test_tokens_of_both_are_cached_apart(tmp_path):
    cache, image = TokenCache(tmp_path, 1.0), uniform(43, 1, 3, 8, 12)
    CachedEncoder(MeanColour(), {}, cache)(image)
    encoder = halve(MeanColour())
    CachedEncoder(encoder, {}, cache)(image)
    assert encoder.calls == 1
    assert (cache.hits, cache.misses) == (0, 2)


@pytest.mark.parametrize(
    ("found", "able"),
    [
        ({"avx2": True, "avx512_f": True, "amx_int8": True}, False),
        ({"avx2": True, "avx512_bf16": False}, False),
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True, "avx512_bf16": False}, True),
        ({"architecture": "arm64", "bf16": True}, True),
    ],
)
def test_the_processor_says_whether_it_multiplies_bfloat16(monkeypatch, found, able):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert multiplies_bfloat16(CPU) is able


def test_a_torch_that_does_not_say_counts_as_a_processor_without(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not multiplies_bfloat16(CPU)
    assert not multiplies_bfloat16(torch.device("meta"))
