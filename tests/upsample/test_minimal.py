import pytest
import torch
import torch.nn.functional as F
from stand_ins import normal

from mapsr.upsample import minimal
from mapsr.upsample.minimal import Convolution, transforms


def direct(x, weight, bias=None):
    """In float64, channels last."""
    y = F.conv2d(x.permute(0, 3, 1, 2).double(), weight.double(), bias)
    return y.permute(0, 2, 3, 1)


def test_four_outputs_of_one_axis_by_hand():
    kernel, analyse, join = transforms()
    taps = torch.tensor([1, 2, 3], dtype=torch.float64)
    inputs = torch.tensor([1, 2, 3, 4, 5, 6], dtype=torch.float64)
    outputs = join @ ((kernel @ taps) * (analyse @ inputs))
    torch.testing.assert_close(outputs, torch.tensor([14.0, 20, 26, 32], dtype=torch.float64))


# sides that are and are not whole tiles of four, down to a single pixel
@pytest.mark.parametrize(("height", "width"), [(8, 12), (9, 14), (3, 5), (1, 1), (4, 7)])
def test_minimal_filtering_gives_the_direct_sums(height, width):
    x, weight = normal(80, 2, height + 2, width + 2, 32), normal(81, 40, 32, 3, 3) / 17
    convolve = Convolution(weight)
    assert convolve.minimal
    y = convolve(x)
    assert y.shape == (2, height, width, 40)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, direct(x, weight).float(), rtol=0, atol=2e-5)


def test_rounding_is_that_of_a_few_direct_sums():
    x, weight = normal(82, 1, 42, 58, 128), normal(83, 128, 128, 3, 3) / 34
    exact = direct(x, weight)
    plain = F.conv2d(x.permute(0, 3, 1, 2), weight).permute(0, 2, 3, 1)
    error = (Convolution(weight)(x) - exact).square().mean().sqrt()
    assert error < 8 * (plain - exact).square().mean().sqrt()


def test_the_points_round_less_than_the_usual_ones(monkeypatch):
    x, weight = normal(82, 1, 42, 58, 128), normal(83, 128, 128, 3, 3) / 34
    exact, errors = direct(x, weight), []
    for points in (minimal.POINTS, (0.0, 1.0, -1.0, 2.0, -2.0)):
        monkeypatch.setattr(minimal, "POINTS", points)
        for made in (minimal.transforms, minimal._planes):
            monkeypatch.setattr(minimal, made.__name__, made.__wrapped__)
        errors.append(float((Convolution(weight)(x) - exact).square().mean()))
        monkeypatch.undo()
    assert errors[0] < errors[1] / 4


def test_a_bias_is_added():
    x, weight, bias = normal(84, 1, 7, 8, 32), normal(85, 32, 32, 3, 3) / 17, normal(86, 32)
    expected = direct(x, weight, bias.double()).float()
    torch.testing.assert_close(Convolution(weight, bias)(x), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((8, 3, 3, 3), torch.float32), ((8, 32, 1, 1), torch.float32), ((8, 32, 3, 3), torch.float64)],
)
def test_few_channels_other_kernels_and_other_numbers_are_left_to_torch(shape, dtype):
    weight, x = normal(87, *shape).to(dtype), normal(88, 1, 6, 9, shape[1]).to(dtype)
    convolve = Convolution(weight)
    assert not convolve.minimal
    torch.testing.assert_close(convolve(x).double(), direct(x, weight), rtol=1e-5, atol=1e-5)
