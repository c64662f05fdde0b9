"""Statistics by hand, against the oracle, and that they add up over patches."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from make_votes import LEGEND, PRODUCTS, random_patch, to_index

from mapsr.errors import DataError
from mapsr.labelling.expansion import revote
from mapsr.labelling.levels import VotingSettings
from mapsr.labelling.plan import make_plan
from mapsr.labelling.products import Product, RasterSource
from mapsr.labelling.prompts import PatchPrompts, Prompt
from mapsr.labelling.registry import Registry, load_registry
from mapsr.labelling.statistics import Statistics, count_patch
from mapsr.labelling.voting import vote

PLAN = make_plan(load_registry("ecovision", dict.fromkeys(PRODUCTS, "a")), VotingSettings())
RENAMED = {"grass_shrub": "grass and shrubs", "oisas": "other impervious"}


def part(patch: PatchPrompts, rows: slice) -> PatchPrompts:
    prompts = [replace(one, mask=one.mask[rows]) for one in patch.prompts]
    return PatchPrompts.of(prompts[0].mask.shape, patch.products, prompts)


def same(one: Statistics, other: Statistics) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)]
    plain = [np.array_equal(a, b) for a, b in pairs if isinstance(a, np.ndarray | int)]
    return all(plain) and one.as_dict() == other.as_dict()


def test_counts_by_hand():
    """Footprints and GISA on one pixel of four, GISA alone beside it; the model decides a third."""
    masks = np.zeros((3, 1, 4), bool)
    masks[0, 0, 0] = masks[1, 0, :2] = masks[2, 0, 2] = True
    prompts = [
        Prompt(0, 0, 3, masks[0]),
        *(Prompt(4, target, 1, masks[1]) for target in (0, 2, 6)),
        *(Prompt(2, target, 2, masks[2]) for target in (5, 7)),
    ]
    patch = PatchPrompts.of((1, 4), PRODUCTS, prompts)
    first = vote(patch, PLAN.rule)
    labels = revote(first, patch, np.array([[3, 3, 7, 3]], np.uint8), 2, PLAN.rule)
    counts = count_patch(PLAN, patch, labels, np.array([[0, 2, 7, 255]], np.uint8)).as_dict()
    assert counts["pixels"] == 4
    assert counts["trusted"] == 0.5
    assert counts["trusted_by_class"]["buildings"] == 0.25
    assert [one["agriculture"] for one in counts["trusted_by_round"]] == [0.0, 0.25]
    assert counts["products"]["cbf"]["votes"] == 0.25
    assert counts["products"]["gisa"]["votes"] == 0.5
    assert counts["products"]["gisa"]["trusted_by_class"]["buildings"] == 0.25
    assert counts["products"]["gisa"]["trusted_by_class"]["roads"] == 0.0
    assert counts["model"]["trusted_by_class"]["agriculture"] == 0.25
    pairs = {tuple(one["products"]): one for one in counts["pairs"]}
    assert len(pairs) == 15
    assert pairs[("cbf", "gisa")] == {
        "products": ["cbf", "gisa"],
        "both": 1,
        "agree": 1,
        "conflict": 0,
    }
    assert counts["truth"]["ratio"] == pytest.approx(2 / 3)
    assert counts["truth"]["trusted"]["oa"] == 1.0
    assert counts["truth"]["all"]["oa"] == pytest.approx(2 / 3)
    assert counts["truth"]["all"]["producers_accuracy"]["roads"] == 0.0
    assert counts["truth"]["trusted"]["producers_accuracy"]["roads"] is None


def test_two_products_that_contradict_are_in_conflict():
    first, second, last = np.eye(3, dtype=bool)[:, None]
    prompts = [
        Prompt(3, 4, 1, first | second),
        Prompt(5, 4, 1, first),
        Prompt(5, 5, 1, second | last),
    ]
    patch = PatchPrompts.of((1, 3), PRODUCTS, prompts)
    counts = count_patch(PLAN, patch, vote(patch, PLAN.rule))
    assert (counts.both[3, 5], counts.agreed[3, 5], counts.agreed[5, 3]) == (2, 1, 1)
    assert counts.both.diagonal().tolist() == counts.said.tolist() == [0, 0, 0, 2, 0, 3]
    assert counts.ratio is None
    assert counts.scores() is None
    assert counts.as_dict()["truth"] == {"ratio": None, "trusted": None, "all": None}


def test_statistics_of_patches_add_up():
    generator = np.random.default_rng(8)
    patch = random_patch(generator, (12, 15))
    truth = generator.integers(0, 8, (12, 15)).astype(np.uint8)
    truth[3] = 255
    model = generator.integers(0, 8, (12, 15)).astype(np.uint8)

    def counted(rows: slice) -> Statistics:
        some = part(patch, rows)
        labels = revote(vote(some, PLAN.rule), some, model[rows], 2, PLAN.rule)
        return count_patch(PLAN, some, labels, truth[rows])

    whole = counted(slice(None))
    summed = counted(slice(0, 5)) + counted(slice(5, 6)) + counted(slice(6, None))
    assert summed.patches == 3
    assert same(replace(summed, patches=1), whole)
    assert not same(counted(slice(0, 5)), whole)
    json.dumps(whole.as_dict(), allow_nan=False)


def test_statistics_of_other_products_are_not_added():
    other = make_plan(load_registry("ecovision", {"cbf": "a"}), VotingSettings())
    here, there = (
        count_patch(plan, patch, vote(patch, plan.rule))
        for plan in (PLAN, other)
        for patch in [PatchPrompts.of((2, 3), [one.name for one in plan.products], [])]
    )
    with pytest.raises(DataError, match=r"Can't add statistics of cbf, ucs.* and of cbf: expected"):
        here + there


def test_patch_without_products_is_counted():
    nothing = tuple(np.zeros((2, 3), bool) for _ in PRODUCTS)
    patch = replace(PatchPrompts.of((2, 3), PRODUCTS, []), covered=nothing)
    counts = count_patch(PLAN, patch, vote(patch, PLAN.rule))
    assert (counts.bare_patches, counts.patches, counts.pixels) == (1, 1, 6)
    assert counts.as_dict()["trusted"] == 0.0
    assert counts.as_dict()["trusted_by_round"] == []
    full = PatchPrompts.of((2, 3), PRODUCTS, [])
    assert count_patch(PLAN, full, vote(full, PLAN.rule)).bare_patches == 0


def test_pairs_of_the_oracle(reference):
    labels = vote(reference.patch, PLAN.rule)
    counts = count_patch(PLAN, reference.patch, labels)
    assert (counts.both == reference.arrays["pairs_both"]).all()
    assert (counts.agreed == reference.arrays["pairs_agree"]).all()
    want = reference.facts["counts"]["pixels where two classes reach their threshold"]
    assert counts.contested == want


def test_scores_of_the_oracle(reference):
    arrays, patch = reference.arrays, reference.patch
    labels = [vote(patch, PLAN.rule)]
    for number in (1, 2):
        model = to_index(arrays[f"prediction_{number}"])
        labels.append(revote(labels[-1], patch, model, 2, PLAN.rule))
    truth = to_index(arrays["truth"])
    for name, one in zip(("label_0", "label_1_weight_2", "label_2_weight_2"), labels, strict=True):
        counts = count_patch(PLAN, patch, one, truth)
        # the oracle's first column is undetermined, here it is the last
        assert (counts.confusion.counts == np.roll(arrays[f"confusion_{name}"], -1, 1)).all()
        want, found = reference.facts["metrics"][name], counts.scores().as_dict(LEGEND.names)
        assert counts.ratio == pytest.approx(want["ratio"][1])
        assert found["oa"] == pytest.approx(want["oa"][1])
        keys = {"pa": "producers_accuracy", "ua": "users_accuracy", "f1": "f1"}
        for theirs, ours in keys.items():
            for label, value in want[theirs].items():
                assert found[ours][RENAMED.get(label, label)] == pytest.approx(value[1])


def products_of(*sources: tuple[dict, bool]):
    """A plan of raster products, {code: classes} and thematic or not."""
    products = tuple(
        Product(f"p{number}", RasterSource((Path("a"),), values), thematic=thematic, level=1)
        for number, (values, thematic) in enumerate(sources)
    )
    return make_plan(Registry("r", LEGEND, products), VotingSettings())


def test_product_is_scored_on_the_classes_that_it_has():
    """A map without agriculture: fields don't count, one building of two is found, one invented."""
    plan = products_of(({1: ("buildings",), 2: ("trees",)}, False))
    truth = np.array([[0, 0, 4, 7, 7, 255]], np.uint8)
    said = np.array([[1, 2, 1, 1, 2, 1]])
    patch = PatchPrompts.of(
        (1, 6), ["p0"], [Prompt(0, 0, 3, said == 1), Prompt(0, 4, 3, said == 2)]
    )
    counts = count_patch(plan, patch, vote(patch, plan.rule), truth)
    scores = counts.as_dict()["products"]["p0"]["truth"]
    assert scores["pixels"] == 3
    assert scores["oa"] == pytest.approx(1 / 3)
    assert scores["producers_accuracy"]["buildings"] == 0.5
    assert scores["users_accuracy"]["buildings"] == 0.5
    assert scores["users_accuracy"]["trees"] == 0.0
    assert scores["f1"]["buildings"] == 0.5
    assert scores["producers_accuracy"]["agriculture"] is None
    assert counts.hits.accuracy(0, without=[4]) == 0.5


def test_thematic_product_is_scored_against_all_other_classes():
    plan = products_of(({1: ("buildings",)}, True))
    truth = np.array([[0, 0, 4, 7]], np.uint8)
    patch = PatchPrompts.of(
        (1, 4), ["p0"], [Prompt(0, 0, 3, np.array([[True, False, True, False]]))]
    )
    scores = count_patch(plan, patch, vote(patch, plan.rule), truth).as_dict()["products"]["p0"]
    assert scores["truth"]["producers_accuracy"]["buildings"] == 0.5
    assert scores["truth"]["users_accuracy"]["buildings"] == 0.5


def test_code_of_several_classes_is_right_for_each_of_them():
    plan = products_of(({1: ("buildings", "roads")}, False), ({1: ("trees",)}, False))
    truth = np.array([[0, 2, 0]], np.uint8)
    mask = np.ones((1, 3), bool)
    covered = np.array([[True, True, False]])
    prompts = [
        Prompt(0, 0, 1, mask & covered),
        Prompt(0, 2, 1, mask & covered),
        Prompt(1, 4, 1, mask),
    ]
    patch = replace(PatchPrompts.of((1, 3), ["p0", "p1"], prompts), covered=(covered, mask))
    counts = count_patch(plan, patch, vote(patch, plan.rule), truth)
    assert counts.hits.accuracy(0) == 1.0
    assert counts.hits.truth[0].sum() == 2
    assert counts.as_dict()["products"]["p0"]["truth"]["users_accuracy"]["roads"] == 1.0
    assert counts.as_dict()["products"]["p0"]["covered"] == pytest.approx(2 / 3)


def test_truth_of_another_size_is_refused():
    patch = PatchPrompts.of((2, 3), PRODUCTS, [])
    with pytest.raises(DataError, match=r"truth is \(3, 2\) and prediction \(2, 3\)"):
        count_patch(PLAN, patch, vote(patch, PLAN.rule), np.zeros((3, 2), np.uint8))
