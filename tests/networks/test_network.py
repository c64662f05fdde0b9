import pytest
import torch
from stand_ins import uniform
from torch import nn

from mapsr.errors import ConfigError
from mapsr.networks import SegmentationNetwork
from mapsr.networks.network import STATISTICS
from mapsr.seeds import seeded


class Echo(SegmentationNetwork):
    """Its logits are the normalised image."""

    stride = 8

    def logits(self, image):
        self.seen = image
        return [image, 2 * image]


def test_bands_are_normalised_by_their_own_statistics():
    network = Echo(4, 4, "naip")
    # hand-computed: a mean of 117.67 is 0, one spread above 162.92 is 1
    image = torch.tensor([117.67, 130.39 + 37.82, 0.0, 162.92 + 60.03]).view(1, 4, 1, 1) / 255
    expected = torch.tensor([0, 1, -121.52 / 24.24, 1])
    torch.testing.assert_close(network(image)[0].flatten(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(8, 16), (9, 23), (1, 1), (3, 40)], ids=str)
def test_sides_are_padded_to_the_stride_by_repeating_the_last_and_cropped(size):
    network = Echo(3, 3, "imagenet")
    first, second = network(uniform(1, 2, 3, *size))
    assert first.shape == (2, 3, *size)
    assert torch.equal(second, 2 * first)
    seen = network.seen
    assert seen.shape[2:] == tuple(-(-side // 8) * 8 for side in size)
    assert torch.equal(seen[..., : size[0], : size[1]], first)
    assert torch.equal(seen[..., -1, -1], first[..., -1, -1])


def test_bands_beyond_those_it_was_built_for_are_ignored():
    network = Echo(3, 3, "imagenet")
    image = uniform(2, 1, 4, 8, 16)
    assert torch.equal(network(image)[0], network(image[:, :3])[0])


def test_too_few_bands_are_refused():
    with pytest.raises(ConfigError, match=r"has 3 band\(s\), but this Echo was built for 4"):
        Echo(4, 2, "naip")(uniform(3, 1, 3, 8, 16))


@pytest.mark.parametrize(
    ("bands", "classes", "statistics", "message"),
    [
        (0, 2, "naip", "bands is 0, expected"),
        (3, 0, "naip", "classes is 0, expected"),
        (3, 2, "nape", "network.statistics is 'nape'.* Did you mean 'naip'"),
        (4, 2, "imagenet", "'imagenet' has 3 bands, but .* reads 4: choose naip"),
        (5, 2, "naip", "'naip' has 4 bands, but .* reads 5: choose fewer bands"),
    ],
)
def test_tasks_that_do_not_fit(bands, classes, statistics, message):
    with pytest.raises(ConfigError, match=message):
        Echo(bands, classes, statistics)


def test_the_statistics_are_not_part_of_a_checkpoint():
    assert not Echo(3, 2, "naip").state_dict()


def test_the_statistics_are_the_published_ones():
    imagenet, naip = Echo(3, 2, "imagenet"), Echo(4, 2, "naip")
    assert imagenet.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert imagenet.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])
    # 117.67, 130.39, 121.52, 162.92 and 39.25, 37.82, 24.24, 60.03 of 255
    mean = [0.46145098, 0.51133333, 0.47654902, 0.63890196]
    std = [0.15392157, 0.14831373, 0.09505882, 0.23541176]
    assert naip.mean.flatten().tolist() == pytest.approx(mean)
    assert naip.std.flatten().tolist() == pytest.approx(std)
    assert STATISTICS.keys() == {"imagenet", "naip"}


def test_parameters_that_are_not_trained_do_not_count():
    network = Echo(3, 2, "naip")
    network.one, network.other = nn.Linear(2, 3), nn.Linear(4, 5)
    network.other.requires_grad_(False)
    assert network.trainable_parameters == 9


def test_a_seed_holds_within_and_not_after():
    before = torch.get_rng_state()
    drawn = []
    for seed in (0, 0, 1):
        with seeded(seed):
            drawn.append(torch.rand(3))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), before)
