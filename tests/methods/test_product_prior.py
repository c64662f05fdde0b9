"""MapSR with EM prompts and the product as a prior: from chips to probabilities."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from stand_ins import uniform

from mapsr.data import Chip
from mapsr.errors import FittedError
from mapsr.geo import Window
from mapsr.legends import Legends, LegendSettings
from mapsr.methods import MapSR, MethodParts, Runtime, State
from mapsr.progress import Quiet
from mapsr.settings import chosen

SIZE = 84, 112
LEGENDS = Legends.load(LegendSettings())
CPU = Runtime(torch.device("cpu"))
CODES = (11, 41, 82, 24)  # water, forest, crops, a city: the four target classes
CLASSES = [LEGENDS.coarse.source.codes.index(code) for code in CODES]
FOREST = CLASSES[1]
COLOURS = torch.tensor(
    [[0.1, 0.2, 0.6, 0.1], [0.1, 0.4, 0.1, 0.6], [0.6, 0.7, 0.2, 0.9], [0.8] * 4]
)


def parts(**changes):
    choice = {
        "method": "mapsr",
        "backbone": {"kind": "texture"},
        "upsampler": {"kind": "nearest"},
        "prompts": {"kind": "em", "pixels": 2000},
        "prior": {"kind": "product", "blur": 0.0},
        "refine": {"kind": "graph", "nodes": "none"},
    } | changes
    made = {
        name: chosen(name, values if isinstance(values, dict) else {"kind": values})
        for name, values in choice.items()
    }
    return MethodParts(**made)


def quadrants():
    """Target class of each pixel: a quarter each."""
    rows, columns = (torch.arange(side) * 2 // side for side in SIZE)
    return 2 * rows[:, None] + columns


def chip(number, cell=None):
    """A chip of four colours, one for each target class, with a product that is right."""
    where = quadrants()
    image = COLOURS[where].permute(2, 0, 1) + 0.05 * uniform(number, 4, *SIZE)
    valid = torch.ones(SIZE, dtype=torch.bool)
    coarse = torch.tensor(CLASSES, dtype=torch.uint8)[where]
    return Chip("one", Window(0, 0, *SIZE), image, valid, coarse, None, cell)


def fitted(settings=None, soft="definition"):
    method = (settings or parts()).build(CPU, LEGENDS.target)
    chips = [chip(1), chip(2)]
    method.fit_chips(chips, LEGENDS.coarse, 0, Quiet(), soft)
    return method


def test_em_prompts_tell_the_classes_apart_and_train_nothing():
    method = fitted()
    labels = method.score([chip(3)])["map"].argmax(1)[0]
    assert (labels == quadrants()).float().mean() > 0.95
    assert method.trained_parameters == 0 and method.layers == ("map",)
    facts = method.facts()
    assert (facts["soft_crosswalk"], facts["soft_crosswalk_from_labels"]) == ("definition", False)
    climbed = facts["em_objective"]
    assert all(one < other + 1e-9 for one, other in pairwise(climbed))
    assert sum(facts["class_weights"].values()) == pytest.approx(1)
    # what a fit found goes with it: maps of other images say how sure to be
    assert facts["product_calibration"]["error"] < 0.2
    again = parts().build(CPU, LEGENDS.target)
    again.load(method.state())
    assert again.facts()["product_calibration"] == facts["product_calibration"]


@pytest.mark.parametrize("through", ["pixels", "operator"])
def test_sampled_and_all_pixels_give_the_same_prompts(through):
    method = fitted(parts(prompts={"kind": "em", "pixels": 10**6, "through": through}))
    reference = fitted(parts(prompts={"kind": "em", "pixels": 10**6}))
    torch.testing.assert_close(method.prompts.vectors, reference.prompts.vectors, rtol=0, atol=1e-4)


def test_the_product_counts_where_a_chip_has_it():
    method = fitted()
    image = chip(3)
    without = method.score([image])["map"]
    torch.testing.assert_close(without.sum(1), torch.ones_like(without.sum(1)))
    # the product calls all of it forest
    wrong = replace(image, coarse=torch.full_like(image.coarse, FOREST), cell=(30.0, 30.0))
    with_product = method.score([wrong])["map"]
    assert (with_product[0, 1] > without[0, 1]).all()
    torch.testing.assert_close(with_product.sum(1), torch.ones_like(without.sum(1)))
    # by hand: odds change by the ratio of the shares, as the floor leaves them
    shares = method.prior.shares[FOREST].clamp_min(1e-4)
    present = method.prompts.present
    ratio = (without[0, present] * shares[present, None, None].float()).double()
    expected = (ratio / ratio.sum(0)).float()
    torch.testing.assert_close(with_product[0, present], expected, rtol=1e-4, atol=1e-6)


def test_strength_0_leaves_the_product_out():
    none = fitted(parts(prior={"kind": "product", "strength": 0.0}))
    image = replace(chip(3), cell=(30.0, 30.0))
    blank = replace(image, coarse=None, cell=None)
    assert torch.equal(none.score([image])["map"], none.score([blank])["map"])
    assert parts(prior={"kind": "product", "strength": 0.0}).product_prior == 0
    # the winner is the paper's: the most similar prompt
    paper = fitted(parts(prior={"kind": "none"}))
    assert torch.equal(none.score([image])["map"].argmax(1), paper.score([image])["map"].argmax(1))


def test_where_the_product_is_blank_the_area_counts():
    method = fitted()
    image = chip(3)
    blank = replace(image, coarse=torch.full_like(image.coarse, 255), cell=(30.0, 30.0))
    scores, plain = method.score([blank])["map"][0], method.score([image])["map"][0]
    present = method.prompts.present
    expected = plain[present].double() * method.prior.area.clamp_min(1e-4)[present, None, None]
    expected = expected / expected.sum(0)
    torch.testing.assert_close(scores[present], expected.float(), rtol=1e-4, atol=1e-6)
    # each product class has a quarter of the area that was fitted on
    torch.testing.assert_close(method.prior.area, method.prior.shares[CLASSES].mean(0))


def test_what_a_graph_smoothed_is_probabilities_again():
    graph = {"kind": "graph", "segments": 30, "neighbours": 5}
    scores = fitted(parts(refine=graph)).score([chip(3)])["map"]
    torch.testing.assert_close(scores.sum(1), torch.ones_like(scores.sum(1)))
    assert (scores >= 0).all()


def test_agreement_prompts_may_have_the_prior_too():
    method = fitted(parts(prompts={"kind": "coarse", "pixels": 2000, "epochs": 3}))
    scores = method.score([replace(chip(3), cell=(30.0, 30.0))])["map"]
    torch.testing.assert_close(scores.sum(1), torch.ones_like(scores.sum(1)))
    assert method.facts()["soft_crosswalk"] == "definition"


def test_the_state_brings_the_prior_back_and_says_where_it_is_lacking():
    method, again = fitted(), parts().build(CPU, LEGENDS.target)
    again.load(method.state())
    image = replace(chip(3), cell=(30.0, 30.0))
    assert torch.equal(again.score([image])["map"], method.score([image])["map"])
    plain = fitted(parts(prior={"kind": "none"})).state()
    with pytest.raises(FittedError, match="fitted without a soft crosswalk"):
        again.load(plain)
    torn = State(method.state().tensors | {"prior.area": torch.zeros(9)}, method.state().facts)
    with pytest.raises(FittedError, match="shares of the file are not whole"):
        again.load(torn)


def test_another_table_is_used_and_said():
    method = fitted(soft="robinson")
    assert method.facts()["soft_crosswalk_from_labels"] is True
    assert isinstance(method, MapSR)
