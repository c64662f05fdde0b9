"""Probabilities held against the product that did not see them."""

import math

import pytest
import torch

from mapsr.methods.product_calibration import product_calibration
from mapsr.prompts import ProductPrior, ProductPriorSettings, Unseen


def prior(shares, area=(0.5, 0.5), sharpness=10.0):
    settings = ProductPriorSettings(sharpness=sharpness)
    return ProductPrior(settings, torch.tensor(shares).double(), torch.tensor(area).double())


def test_calibration_against_the_product_by_hand():
    # looks of odds 3 : 1 for the class that the product class alone holds, right in 3 of 4 pixels
    gap = math.log(3) / 10
    cosine = torch.tensor([[gap, 0.0]]).expand(4, 2)
    found = product_calibration(
        Unseen(cosine, torch.tensor([0, 0, 0, 1])), prior([[1.0, 0.0], [0.0, 1.0]])
    )
    assert found["pixels"] == 4
    assert found["error"] == pytest.approx(0, abs=1e-3)  # shares have a floor of 1e-4
    wrong = product_calibration(
        Unseen(cosine, torch.tensor([1, 1, 1, 0])), prior([[1.0, 0.0], [0.0, 1.0]])
    )
    assert wrong["error"] == pytest.approx(0.5, abs=1e-3)


def test_the_area_counts_where_looks_say_nothing():
    found = product_calibration(
        Unseen(torch.zeros(10, 2), torch.tensor([0] * 9 + [1])),
        prior([[1.0, 0.0], [0.0, 1.0]], area=(0.9, 0.1)),
    )
    assert found["error"] == pytest.approx(0, abs=1e-3)


def test_a_class_without_prompt_has_no_probability():
    cosine = torch.tensor([[0.0, 0.0, -math.inf]]).expand(6, 3)
    table = prior([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], area=(0.3, 0.3, 0.4))
    found = product_calibration(Unseen(cosine, torch.tensor([0, 1, 0, 1, 0, 1])), table)
    assert found["error"] == pytest.approx(0, abs=1e-3)
