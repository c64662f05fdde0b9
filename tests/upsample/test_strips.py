import pytest
import torch
import torch.nn.functional as F
from stand_ins import normal, random_anyup
from torch import nn

from mapsr import budgets
from mapsr.upsample.strips import Rows, pool_matrix


@pytest.fixture(params=[10_000, 40])
def strip(request, monkeypatch):
    """As one strip and as many."""
    monkeypatch.setattr(budgets, "STRIP", budgets.Budget(request.param))
    monkeypatch.setattr(budgets, "FILTERED", budgets.Budget(request.param))


@pytest.fixture(scope="module")
def block():
    return random_anyup(60).image_encoder[1]


def image_of(rows):
    return rows.values.permute(0, 3, 1, 2)


def test_a_residual_block_is_that_of_torch(strip, block):
    x = normal(61, 2, 128, 9, 13) + 3
    rows = Rows.of(x)
    rows.residual(block)
    torch.testing.assert_close(image_of(rows), block(x), rtol=1e-4, atol=1e-4)


def test_a_pooled_residual_block_is_that_of_torch(strip, block):
    x = normal(62, 2, 128, 9, 13)
    pooled = Rows.of(x).residual_pooled(block, (4, 3))
    expected = F.adaptive_avg_pool2d(block(x), (4, 3))
    torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-4)


def test_a_1_x_1_convolution_may_overwrite_its_input(strip):
    x, weight = normal(63, 2, 6, 9, 13), normal(64, 6, 6, 1, 1)
    rows = Rows.of(x)
    rows.linear(weight, into=rows)
    torch.testing.assert_close(image_of(rows), F.conv2d(x, weight), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [6, 32])  # summed directly, and by minimal filtering
def test_a_3_x_3_convolution_in_place_is_that_of_torch(strip, channels):
    x, weight = normal(67, 2, channels, 11, 13), normal(68, channels, channels, 3, 3) / channels
    rows = Rows.of(x)
    rows.convolve(weight)
    expected = F.conv2d(x, weight, padding=1)
    torch.testing.assert_close(image_of(rows), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize("channels", [6, 32])
def test_a_convolution_with_reflected_edges_is_that_of_torch(strip, channels, side):
    torch.manual_seed(69)
    convolution = nn.Conv2d(channels, 40, side, padding=side // 2, padding_mode="reflect")
    x = normal(70, 2, channels, 11, 13)
    with torch.no_grad():
        rows = Rows.of(x).convolved(convolution)
        torch.testing.assert_close(image_of(rows), convolution(x), rtol=0, atol=2e-5)


def test_taking_an_image_leaves_it_as_it_was(block):
    x = normal(65, 1, 128, 4, 5)
    before = x.clone()
    Rows.of(x).residual(block)
    assert torch.equal(x, before)


def test_a_group_without_spread_gives_numbers(block):
    # large equal values: rounding must not make the variance negative
    rows = Rows.of(torch.full((1, 128, 30, 41), 333.3))
    rows.residual(block)
    assert torch.isfinite(rows.values).all()


@pytest.mark.parametrize(("pixels", "cells"), [(7, 3), (8, 4), (3, 5), (1, 2), (13, 13)])
def test_the_pool_matrix_is_adaptive_average_pooling(pixels, cells):
    x = normal(66, 1, 1, pixels)
    expected = F.adaptive_avg_pool1d(x, cells)
    torch.testing.assert_close(x @ pool_matrix(pixels, cells).T, expected)
