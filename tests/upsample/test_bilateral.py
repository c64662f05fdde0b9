import math

import pytest
import torch
from stand_ins import dense, normal, uniform

from mapsr.errors import ConfigError
from mapsr.upsample import BilateralSettings

RED, BLUE = (0.8, 0.1, 0.1), (0.1, 0.1, 0.8)


def two_colours(rows=4, columns=12, edge=6):
    """Left of ``edge`` red, the rest blue."""
    image = torch.empty(1, 3, rows, columns)
    image[..., :edge] = torch.tensor(RED)[:, None, None]
    image[..., edge:] = torch.tensor(BLUE)[:, None, None]
    return image


def matrix(image, grid, size=None, **settings):
    tokens = normal(1, len(image), 2, *grid)
    return dense(BilateralSettings(**settings).build()(image, tokens, size), len(image))


def test_a_pixel_takes_the_tokens_of_its_own_colour():
    # tokens of 4 x 4 px: the first red, the last blue, the one between half of each
    seen = matrix(two_colours(), (1, 3))[0].unflatten(0, (4, 12))
    assert seen[0, 1].argmax() == 0 and seen[0, 10].argmax() == 2
    # beside the edge, in the mixed cell: the nearest token is the mixed one, the colour decides
    assert seen[0, 5].argmax() == 0 and seen[0, 6].argmax() == 2
    assert seen[0, 5, 2] < 1e-6 and seen[0, 6, 0] < 1e-6


def test_weights_of_one_pixel_by_hand():
    image = torch.zeros(1, 3, 1, 4)
    image[0, :, 0] = torch.tensor([0.0, 0.2, 0.4, 0.4])  # grey; cell means 0.1 and 0.4
    seen = matrix(image, (1, 2), radius=2.0, distance=0.5, colour=0.3)[0, 0]
    # pixel 0 stands at token position -0.25
    logits = [
        -(0.25**2) / (2 * 0.5**2) - 3 * 0.1**2 / (2 * 0.3**2),
        -(1.25**2) / (2 * 0.5**2) - 3 * 0.4**2 / (2 * 0.3**2),
    ]
    powers = [math.exp(logit) for logit in logits]
    torch.testing.assert_close(seen, torch.tensor(powers) / sum(powers))


@pytest.mark.parametrize(("size", "grid"), [((12, 21), (3, 7)), ((3, 2), (5, 8)), ((1, 7), (1, 9))])
@pytest.mark.parametrize("radius", [0.5, 1.0, 2.5])
def test_no_token_beyond_the_radius_is_used(size, grid, radius):
    seen = matrix(uniform(2, 1, 4, *size), grid, radius=radius, distance=50.0, colour=50.0)[0]
    rows, columns = (
        ((torch.arange(n) + 0.5) * count / n - 0.5)[:, None] - torch.arange(count)
        for n, count in zip(size, grid, strict=True)
    )
    near = (rows.abs() <= radius)[:, None, :, None] & (columns.abs() <= radius)[None, :, None]
    assert torch.equal(seen > 0, near.flatten(2).flatten(0, 1))


def test_distance_counts_from_the_pixel_where_there_are_fewer_pixels_than_tokens():
    # one pixel over ten tokens looks at tokens 3..6 around 4.5: symmetric, whatever lies beyond
    image = torch.full((1, 3, 1, 10), 0.5)
    seen = matrix(image, (1, 10), size=(1, 1), radius=2.0, distance=1.0)[0, 0]
    assert (seen > 0).nonzero()[:, 0].tolist() == [3, 4, 5, 6]
    torch.testing.assert_close(seen, seen.flip(0))


def test_all_bands_count_as_colour():
    image = torch.cat([torch.full((1, 3, 4, 12), 0.5), two_colours()[:, :1]], dim=1)
    seen = matrix(image, (1, 3))[0].unflatten(0, (4, 12))
    assert seen[0, 5].argmax() == 0 and seen[0, 6].argmax() == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"radius": 0.4}, r"upsampler.radius is 0.4, expected a number in \[0.5"),
        ({"distance": 0.0}, r"upsampler.distance is 0.0, expected a number in \(0"),
        ({"colour": -1.0}, r"upsampler.colour is -1.0, expected a number in \(0"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ConfigError, match=message):
        BilateralSettings(**settings)
