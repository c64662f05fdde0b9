import logging
from dataclasses import replace

import numpy as np
import pytest

from mapsr.errors import LegendError
from mapsr.legends import legend_names, load_crosswalk, load_legend, load_soft_crosswalk, soften
from mapsr.legends.legend import LandClass, Legend
from mapsr.legends.soft import SoftCrosswalk, soft_names

TARGET = load_legend("chesapeake4")
TARGETS = ("chesapeake", "ecovision", "openearthmap")
PRODUCTS = [name for name in legend_names() if not name.startswith(TARGETS)]
TABLE = """
name: mine
product: tiny
target: chesapeake4
source: a guess
from_labels: false
shares:
  1: {water: 0.9, low vegetation: 0.1}
  2: {tree canopy: 0.5, impervious: 0.5}
  3: null
"""


def hard(product="nlcd", target=TARGET):
    return load_crosswalk("paraformer", load_legend(product), target)


@pytest.fixture
def tiny():
    names = {"lake": "water", "town": "impervious", "ice": None}
    classes = tuple(
        LandClass(code, name, (0, 0, 0), to) for code, (name, to) in enumerate(names.items(), 1)
    )
    return load_crosswalk("paraformer", Legend("tiny", "Tiny", "a test", classes), TARGET)


def own_table(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_a_table_by_hand(tiny, tmp_path):
    soft = load_soft_crosswalk(own_table(tmp_path, TABLE), tiny)
    expected = [[0.9, 0, 0.1, 0], [0, 0.5, 0, 0.5], [0, 0, 0, 0]]
    np.testing.assert_allclose(soft.shares, expected)
    assert soft.learned == (0, 1, 255)
    assert (soft.name, soft.origin, soft.from_labels) == ("mine", "a guess", False)


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_product_has_a_table_from_its_definitions(product):
    soft = load_soft_crosswalk("definition", hard(product))
    assert soft.name == "definition" and not soft.from_labels
    assert "https://" in soft.origin
    left_out = [index == 255 for index in hard(product).table]
    assert [row.sum() == 0 for row in soft.shares] == left_out
    np.testing.assert_allclose(soft.shares.sum(1)[np.logical_not(left_out)], 1, rtol=1e-12)


def test_the_measured_table_says_that_labels_stand_behind_it():
    soft = load_soft_crosswalk("robinson", hard())
    assert soft.from_labels
    row = soft.shares[soft.source.codes.index(21)]
    np.testing.assert_allclose(row, np.array([0, 0.42, 0.46, 0.11]) / 0.99)


def test_a_hard_crosswalk_is_a_table_of_ones():
    crosswalk = hard()
    soft = soften(crosswalk)
    for row, index in zip(soft.shares, crosswalk.table, strict=True):
        assert row.tolist() == ([0] * 4 if index == 255 else np.eye(4)[index].tolist())
    assert load_soft_crosswalk("hard", crosswalk) == soft


@pytest.mark.parametrize("lacking", ["product", "target"])
def test_without_a_table_the_hard_crosswalk_stands_in_and_says_so(lacking, caplog, tiny):
    if lacking == "product":
        two = replace(TARGET, classes=(TARGET.classes[0], TARGET.classes[3]))
        crosswalk = replace(tiny, target=two, table=(0, 1, 255))
    else:
        crosswalk = hard("nlcd", replace(TARGET, name="mine"))
    with caplog.at_level(logging.WARNING, "mapsr"):
        soft = load_soft_crosswalk("definition", crosswalk)
    assert soft == soften(crosswalk)
    source, target = crosswalk.source.name, crosswalk.target.name
    assert [record.getMessage() for record in caplog.records] == [
        f"no soft crosswalk 'definition' from {source} to {target}: the hard crosswalk "
        "'paraformer' stands in"
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("water: 0.9", "water: 0.8", r"class 1 \(lake\) sum to 0.9, expected 1"),
        ("  3: null\n", "", r"no shares for 3 \(ice\) of legend 'tiny'"),
        ("  3: null", "  3: null\n  33: null", "code 33 is not in legend 'tiny'.* mean '3'"),
        ("water: 0.9", "watr: 0.9", "names 'watr'.* Did you mean 'water'"),
        ("water: 0.9", "impervious: 0.9", "gives a share to 'water' of legend 'chesapeake4'"),
        ("water: 0.9", "water: true", "code 1 has the share True, expected a number"),
        ("water: 0.9", "water: 1.9", r"has the share 1.9, expected a number in \[0, 1\]"),
        ("water: 0.9", "water: .nan", r"has the share nan, expected a number in \[0, 1\]"),
        ("3: null", "3: ice", "code 3 has 'ice', expected {target class: share} or null"),
        ("product: tiny", "product: nlcd", "'product' is 'nlcd', expected 'tiny'"),
        ("target: chesapeake4", "target: other", "'target' is 'other', expected 'chesapeake4'"),
        ("from_labels: false", "from_labels: 'no'", "'from_labels' is 'no'.*true or false"),
        ("source: a guess\n", "", "'source' is None"),
        ("  3: null", "  3: null\n  2: null", "the key '2' stands twice"),
    ],
)
def test_a_table_that_is_wrong_is_refused(old, new, message, tiny, tmp_path):
    assert old in TABLE
    path = own_table(tmp_path, TABLE.replace(old, new))
    with pytest.raises(LegendError, match=message):
        load_soft_crosswalk(path, tiny)


def test_rounded_shares_are_taken_as_they_are_meant():
    soft = load_soft_crosswalk("robinson", hard())
    assert any(abs(sum(row) - 1) > 1e-9 for row in soft.rows if row)
    np.testing.assert_allclose(soft.shares.sum(1).max(), 1)


def test_unknown_tables_name_the_nearest():
    with pytest.raises(LegendError, match=r"no soft crosswalk 'definitions'.*mean 'definition'"):
        load_soft_crosswalk("definitions", hard())
    with pytest.raises(LegendError, match=r"no soft crosswalk file nowhere\.yaml"):
        load_soft_crosswalk("nowhere.yaml", hard())
    assert soft_names() == ("definition", "robinson")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (((1.0, 0, 0, 0),), "has 1 rows, expected one for each of the 3"),
        (((1.0, 0, 0), (), ()), "has 3 shares, expected one for each of the 4"),
    ],
)
def test_rows_that_do_not_fit_the_legends_are_refused(rows, message, tiny):
    with pytest.raises(LegendError, match=message):
        SoftCrosswalk("mine", tiny.source, TARGET, rows, "a guess", False)
