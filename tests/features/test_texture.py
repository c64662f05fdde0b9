import pytest
import torch
import torch.nn.functional as F
from stand_ins import uniform

from mapsr.errors import ConfigError
from mapsr.features import TextureSettings

STRIDE = 4
# places of the pixel maps among the means; spreads and neighbourhoods follow in the same order
BRIGHTNESS, VEGETATION, WETNESS, GREEN_RED, BLUE_RED, EDGES, FINE, COARSE = range(8)


@pytest.fixture(scope="module")
def texture():
    return TextureSettings(stride=STRIDE).build()


def of_one_colour(*bands, size=(8, 12)):
    return torch.tensor(bands)[None, :, None, None].expand(1, -1, *size)


@pytest.mark.parametrize("bands", [3, 4, 6])
def test_shape_and_length(texture, bands):
    tokens = texture(uniform(1, 2, bands, 12, 20))
    assert tokens.shape == (2, texture.dim, 3, 5)
    assert tokens.dtype == torch.float32
    # random features have a length of about one
    assert (tokens.norm(dim=1) - 1).abs().max() < 0.25


@pytest.mark.parametrize("bands", [3, 4])
def test_a_constant_image_gives_constant_tokens(texture, bands):
    tokens = texture(of_one_colour(*(0.3, 0.5, 0.2, 0.7)[:bands]))
    # a spread of zero is exact to the root of float32's resolution only
    torch.testing.assert_close(tokens, tokens[..., :1, :1].expand_as(tokens), rtol=0, atol=2e-3)


def test_indices_of_four_bands_by_hand(texture):
    red, green, blue, infrared = 0.3, 0.36, 0.27, 0.4
    statistics = texture.statistics(of_one_colour(red, green, blue, infrared))[0, :, 0, 0]
    expected = {
        BRIGHTNESS: (0.31 - 0.42) / 0.13,
        VEGETATION: ((infrared - red) / (infrared + red) - 0.06) / 0.17,
        WETNESS: ((green - infrared) / (green + infrared) + 0.03) / 0.16,
        GREEN_RED: ((green - red) / (green + red) - 0.06) / 0.085,
        BLUE_RED: ((blue - red) / (blue + red) + 0.05) / 0.105,
        EDGES: -0.06 / 0.047,
        FINE: -0.016 / 0.014,
        COARSE: -0.04 / 0.036,
    }
    for place, value in expected.items():
        assert float(statistics[place]) == pytest.approx(value, abs=1e-4), place
        # the neighbourhood of an image of one colour is like the cell; nothing spreads
        assert float(statistics[16 + place]) == pytest.approx(value, abs=1e-4), place
        assert float(statistics[8 + place]) == pytest.approx(-1, abs=5e-3), place


def test_three_bands_do_without_infrared(texture):
    red, green, blue = 0.3, 0.31, 0.27
    statistics = texture.statistics(of_one_colour(red, green, blue))[0, :, 0, 0]
    excess = (2 * green - red - blue - 0.06) / 0.17
    assert float(statistics[VEGETATION]) == pytest.approx(excess, abs=1e-4)
    assert float(statistics[WETNESS]) == pytest.approx((blue - red + 0.03) / 0.16, abs=1e-4)


def test_mean_and_spread_of_a_cell_by_hand(texture):
    # grey of 0.40 and 0.44 in turn: mean 0.42, standard deviation 0.02, steps of 0.04
    image = torch.full((1, 3, 4, 8), 0.40)
    image[..., 1::2] = 0.44
    statistics = texture.statistics(image)[0, :, 0]
    torch.testing.assert_close(statistics[BRIGHTNESS], torch.zeros(2), atol=1e-5, rtol=0)
    spread = torch.full((2,), 2 * 0.02 / 0.13 - 1)
    torch.testing.assert_close(statistics[8 + BRIGHTNESS], spread, atol=1e-4, rtol=0)
    # the first column has no left neighbour to differ from
    edges = (torch.tensor([3 / 4, 1]) * 0.04 - 0.06) / 0.047
    torch.testing.assert_close(statistics[EDGES], edges, atol=1e-4, rtol=0)


def test_statistics_are_cut_off(texture):
    statistics = texture.statistics(uniform(2, 1, 4, 16, 24).round())
    assert statistics.abs().max() == 3


def test_the_cosine_of_tokens_is_the_gaussian_kernel_of_statistics():
    many = TextureSettings(stride=STRIDE, channels=20_000).build()
    # colours near each other, so that not all kernels are about zero
    image = 0.3 + 0.1 * F.interpolate(uniform(3, 1, 3, 3, 4), (16, 24), mode="bilinear")
    statistics = many.statistics(image).flatten(2)[0].T
    tokens = F.normalize(many(image).flatten(2)[0].T, dim=1)
    kernel = torch.exp(-torch.cdist(statistics, statistics).square() / (2 * 2.0**2))
    assert kernel.min() < 0.7
    torch.testing.assert_close(tokens @ tokens.T, kernel, rtol=0, atol=0.04)


@pytest.mark.parametrize("shift", [(STRIDE, 0), (0, STRIDE)])
def test_moving_the_image_by_a_cell_moves_the_tokens(texture, shift):
    image = uniform(4, 1, 4, 72, 80)
    moved = texture(image.roll(shift, (2, 3)))
    expected = texture(image).roll((shift[0] // STRIDE, shift[1] // STRIDE), (2, 3))
    # neighbourhoods reach 4 cells and 6 pixels: cells farther than 7 from the edge see none of it
    inside = (..., slice(7, -7), slice(7, -7))
    torch.testing.assert_close(moved[inside], expected[inside], rtol=0, atol=1e-4)
    assert (moved - texture(image)).abs().max() > 0.01


def test_rows_and_columns_are_not_swapped(texture):
    image = torch.full((1, 3, 12, 20), 0.4)
    image[..., 4:8, 12:16] = 0.6
    brightness = texture.statistics(image)[0, BRIGHTNESS]
    assert divmod(int(brightness.argmax()), 5) == (1, 3)


def test_every_encoder_draws_the_same_random_features(texture):
    before = torch.random.get_rng_state()
    image = uniform(5, 1, 4, 12, 20)
    again = TextureSettings(stride=STRIDE).build()
    assert torch.equal(again(image), texture(image))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert TextureSettings(channels=7).build().dim == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride": 1}, r"backbone.stride is 1, expected"),
        ({"channels": 0}, r"backbone.channels is 0, expected"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ConfigError, match=message):
        TextureSettings(**settings)
