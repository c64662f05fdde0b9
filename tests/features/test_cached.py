import logging
from dataclasses import asdict

import pytest
import torch
from stand_ins import MeanColour, uniform

from mapsr.features import Texture, TextureSettings, ViT, ViTSettings
from mapsr.features.cache import TokenCache
from mapsr.features.cached import CachedEncoder


@pytest.fixture
def cache(tmp_path):
    return TokenCache(tmp_path / "tokens", 1.0)


def vit(**settings):
    """timm's smallest ViT, with random weights that are said to be known."""
    torch.manual_seed(3)
    chosen = ViTSettings(model="test_vit", **settings)
    encoder = ViT(chosen)
    encoder.weights = {"name": "random", "sha256": "12ab"}
    return encoder, asdict(chosen)


def texture():
    settings = TextureSettings(channels=32)
    return Texture(settings), asdict(settings)


@pytest.mark.parametrize("make", [vit, texture])
def test_tokens_from_the_cache_are_those_of_the_encoder_to_the_last_bit(cache, make):
    encoder, settings = make()
    image = uniform(1, 1, 3, 48, 80)
    plain = encoder(image)
    assert plain.is_contiguous()  # so that those of the cache have the same layout
    cached = CachedEncoder(encoder, settings, cache)
    first, second = cached(image), cached(image)
    assert (cache.hits, cache.misses) == (1, 1)
    for tokens in (first, second):
        assert torch.equal(tokens, plain)
        assert tokens.stride() == plain.stride()


def test_only_what_is_missing_of_a_batch_is_encoded(cache):
    encoder = MeanColour()
    seen = []
    encode = encoder.encode
    encoder.encode = lambda image: (seen.append(len(image)), encode(image))[1]
    cached = CachedEncoder(encoder, {}, cache)
    image = uniform(1, 4, 3, 8, 12)
    expected = encode(image)
    assert torch.equal(cached(image[1:2]), expected[1:2])
    assert torch.equal(cached(image), expected)
    assert torch.equal(cached(image.flip(0)), expected.flip(0))
    assert seen == [1, 3]
    assert (cache.hits, cache.misses) == (1 + 4, 1 + 3)


def test_other_settings_weights_or_threads_are_other_tokens(cache):
    image = uniform(1, 1, 3, 32, 48)

    def misses(encoder, settings):
        before = cache.misses
        CachedEncoder(encoder, settings, cache)(image)
        return cache.misses - before

    encoder, settings = vit()
    assert misses(encoder, settings) == 1
    assert misses(*vit()) == 0
    # the hash says which weights they are, not where they were found
    assert misses(encoder, settings | {"checkpoint": "elsewhere.pth"}) == 0
    assert misses(*vit(layer=2)) == 1
    assert misses(*vit(positions="dinov2")) == 1
    encoder.weights = {"name": "random", "sha256": "34cd"}
    assert misses(encoder, settings) == 1
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert misses(*vit()) == 1
    finally:
        torch.set_num_threads(threads)


def test_random_weights_are_not_cached(cache, caplog):
    settings = ViTSettings(model="test_vit")
    cached = CachedEncoder(ViT(settings), asdict(settings), cache)
    image = uniform(1, 1, 3, 32, 48)
    assert torch.equal(cached(image), cached.encoder(image))
    assert not cache.folder.exists()
    assert (cache.hits, cache.misses) == (0, 0)
    (said,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert said == "tokens are not cached: the weights of the encoder have no hash"
