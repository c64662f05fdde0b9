from dataclasses import replace

import numpy as np
from matplotlib.image import imread

from mapsr.tables.cost import CostPoint, cost_column, cost_figure
from mapsr.tables.loading import load_table


def point(cost, miou, published_cost=None, published_miou=None):
    interval = None if miou is None else (miou - 0.05, miou + 0.05)
    return CostPoint(
        "row", "Row", "", (cost,), miou, interval, (published_cost,), published_miou, ("runs/a",)
    )


def drawn(path):
    """How many pixels have the first colour of the cycle."""
    blue = np.array([31, 119, 180]) / 255
    return int((np.abs(imread(path)[..., :3] - blue).max(axis=2) < 0.02).sum())


def test_measured_points_are_solid_and_published_ones_hollow(tmp_path):
    cost_figure(tmp_path / "solid.png", [point(3072, 0.6)], ["trained_parameters"])
    cost_figure(tmp_path / "hollow.png", [point(None, None, 4000, 0.6)], ["trained_parameters"])
    assert drawn(tmp_path / "solid.png") > drawn(tmp_path / "hollow.png") > 0


def test_nothing_trained_has_a_place_on_the_axis(tmp_path):
    cost_figure(tmp_path / "zero.png", [point(0, 0.6)], ["trained_parameters"])
    assert drawn(tmp_path / "zero.png") > 0


def test_each_cost_has_a_panel(tmp_path):
    both = replace(point(None, 0.6), costs=(0, 12.0), published_costs=(None, None))
    one = replace(both, costs=(None, 12.0))
    for name, shown in (("both", both), ("one", one)):
        cost_figure(tmp_path / f"{name}.png", [shown], ["annotation", "fit_seconds"])
    both_drawn, one_drawn = (drawn(tmp_path / f"{name}.png") for name in ("both", "one"))
    assert both_drawn > 1.2 * one_drawn > 0  # and the legend is there once


def test_points_without_numbers_are_not_drawn(tmp_path):
    for number, one in enumerate([point(None, 0.6), point(7, None), point(None, None, 7)]):
        path = tmp_path / f"{number}.png"
        cost_figure(path, [one], ["seconds"])
        assert drawn(path) == 0


def test_the_column_is_the_wanted_one_else_the_average_else_the_first():
    table1, patches = load_table("table1"), load_table("table1_patches")
    assert cost_column(table1, "ny") == "ny"
    assert cost_column(table1, "") == "average"
    assert cost_column(patches, "average") == ""
