import pytest
import torch
from make_chips import make_chip
from stand_ins import MeanColour, dense, random_anyup, uniform

from mapsr.features.cache import TokenCache
from mapsr.features.cached import CachedEncoder
from mapsr.methods import FeatureExtractor
from mapsr.methods.extractor import batches
from mapsr.upsample import Bilinear, Nearest

CPU = torch.device("cpu")


def extractor(memory_mib=64, stride=4, upsampler=None):
    return FeatureExtractor(MeanColour(stride), upsampler or Nearest(), CPU, memory_mib)


@pytest.mark.parametrize(
    ("size", "expected"), [((8, 12), (8, 12)), ((9, 12), (12, 12)), ((1, 3), (8, 8))]
)
def test_chips_are_padded_to_whole_tokens_two_at_the_least(size, expected):
    image = uniform(1, 2, 3, *size)
    padded = extractor().pad(image)
    assert padded.shape[2:] == expected
    assert torch.equal(padded[..., : size[0], : size[1]], image)
    # the far edges are repeated
    assert torch.equal(
        padded[..., : size[0], -1],
        image[..., -1] if expected[1] > size[1] else padded[..., : size[0], -1],
    )
    assert torch.equal(
        padded[..., size[0] :, : size[1]],
        image[..., -1:, :].expand(-1, -1, expected[0] - size[0], -1),
    )


def test_the_smallest_chip_goes_through_attention():
    chip = make_chip(0, (3, 5))
    features = extractor(upsampler=random_anyup(2))([chip])
    assert features.size == (8, 8)
    assert torch.isfinite(dense(features.operator)).all()


def test_features_are_those_of_encoder_and_upsampler():
    chips = [make_chip(0, (10, 14)), make_chip(1, (10, 14))]
    one = extractor(upsampler=Bilinear())
    features = one(chips)
    image = one.pad(torch.stack([chip.image for chip in chips]))
    tokens = MeanColour()(image)
    expected = torch.nn.functional.interpolate(tokens, (12, 16), mode="bilinear")
    torch.testing.assert_close(features.linear(torch.eye(4)), expected, rtol=1e-4, atol=1e-5)


def test_the_memory_gives_the_same_features_again():
    one = extractor()
    first, second = make_chip(0), make_chip(1)
    features = one([first])
    assert one([second]) is not features
    assert one([first]) is features
    assert one.encoder.calls == 2
    # a chip is known by its scene and window; as part of a batch it is another thing
    assert one([make_chip(0, scene="other")]) is not features
    assert one([first, second]) is not features


def test_the_memory_keeps_what_comes_first_until_it_is_full():
    # 512 x 512 px with two numbers a token and a weight a pixel: a chip takes 1.25 MiB of 2
    one = extractor(memory_mib=2)
    chips = [make_chip(number, (512, 512)) for number in range(2)]
    first, second = (one([chip]) for chip in chips)
    assert one([chips[0]]) is first
    assert one([chips[1]]) is not second


def test_chips_that_are_only_scored_do_not_fill_the_memory():
    one = extractor()
    chip = make_chip(0)
    assert one([chip], remember=False) is not one([chip], remember=False)
    kept = one([chip])
    assert one([chip], remember=False) is kept


def test_without_memory_nothing_is_kept():
    one = extractor(memory_mib=0)
    assert one([make_chip(0)]) is not one([make_chip(0)])


def test_a_cache_serves_other_runs_upsamplers_and_batches(tmp_path):
    # 9 x 13 px: the cache sees chips as the encoder does, padded
    chips = [make_chip(number, (9, 13)) for number in range(3)]

    def run(upsampler, groups, cached=True):
        encoder, cache = MeanColour(), TokenCache(tmp_path, 1.0)
        lookup = CachedEncoder(encoder, {"stride": 4}, cache) if cached else None
        one = FeatureExtractor(encoder, upsampler, CPU, 0, cached=lookup)
        features = [one(group) for group in groups]
        return torch.cat([part.linear(torch.eye(4)) for part in features]), encoder.calls

    single = [[chip] for chip in chips]
    for upsampler, groups, calls in (
        (Nearest(), [chips[:1]], 1),
        (Bilinear(), [chips], 1),  # two of the three are missing
        (Bilinear(), single, 0),
        (Nearest(), [chips[:2], chips[2:]], 0),
    ):
        plain, _ = run(upsampler, groups, cached=False)
        found, called = run(upsampler, groups)
        assert torch.equal(found, plain)
        assert called == calls


def test_the_memory_goes_before_the_cache(tmp_path):
    encoder, cache = MeanColour(), TokenCache(tmp_path, 1.0)
    one = FeatureExtractor(encoder, Nearest(), CPU, 64, cached=CachedEncoder(encoder, {}, cache))
    chip = make_chip(0)
    assert one([chip]) is one([chip])
    assert (cache.hits, cache.misses) == (0, 1)


def test_stages_are_watched():
    seen = []

    class Watch:
        def __init__(self, stage):
            seen.append(stage)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    one = FeatureExtractor(MeanColour(), Nearest(), CPU, 0, Watch)
    one([make_chip(0)])
    assert seen == ["encode", "upsample"]


def test_batches_hold_neighbouring_chips_of_one_size():
    sizes = [(8, 8), (8, 8), (8, 8), (8, 4), (8, 8)]
    chips = [make_chip(number, size) for number, size in enumerate(sizes)]
    found = [[chips.index(chip) for chip in batch] for batch in list(batches(chips, 2))]
    assert found == [[0, 1], [2], [3], [4]]
    assert list(batches([], 2)) == []
