"""Figures of tables, with runs that are made up."""

import csv
from dataclasses import replace

import pytest
from make_cells import MadeUpRuns, compose_with, settings_on
from matplotlib.image import imread

from mapsr.errors import ConfigError, DataError
from mapsr.tables import cells, figures
from mapsr.tables.definitions import MapPanel, MapScene, MapsDefinition
from mapsr.tables.figures import make
from mapsr.tables.loading import load
from mapsr.tables.making import Request

TABLE = """
title: Small
caption: Made up.
rows:
  - name: kmeans
    label: K-means
    overrides: [method=kmeans_voting]
    published: 32.7
    parameters_m: 0
  - {name: ours, label: Ours, overrides: [method=mapsr], seeds: [0, 1], parameters_m: 0.004}
"""
COST = "{kind: cost, title: Cost, caption: Against accuracy., table: PATH, cost: KIND}"


@pytest.fixture(scope="module")
def base(scene_folder):
    return settings_on(scene_folder)


@pytest.fixture
def runs():
    return MadeUpRuns()


@pytest.fixture
def request_(base, runs, tmp_path, monkeypatch):
    """What is asked for in these tests."""
    monkeypatch.setattr(cells.gc, "collect", lambda: 0)
    return Request(compose_with(base), folder=tmp_path / "tables", run=runs)


@pytest.fixture
def small(tmp_path):
    """Path of a table's definition."""
    path = tmp_path / "small.yaml"
    path.write_text(TABLE)
    return str(path)


@pytest.fixture
def maps(small):
    """A figure of two maps of the one scored scene."""
    panels = (MapPanel(small, "kmeans", "", ""), MapPanel(small, "ours", "", "MapSR"))
    scenes = (MapScene("village", (10, 20, 40, 60)), MapScene("village", None))
    return MapsDefinition("maps", "Maps", "Side by side.", panels, scenes, ("A note.",))


def cost(small, tmp_path, kind):
    path = tmp_path / "cost.yaml"
    path.write_text(COST.replace("PATH", small).replace("KIND", kind))
    return load(str(path))


def test_cost_figure_runs_the_table_and_shows_each_row(request_, runs, small, tmp_path):
    made = make(cost(small, tmp_path, "trained_parameters"), request_)
    assert runs.done == ["kmeans-s0", "ours-s0", "ours-s1"]
    png, points, text = made.paths
    assert imread(png).shape[2] == 4
    with points.open(newline="") as file:
        kmeans, ours = csv.DictReader(file)
    cost_of = "trained_parameters"
    assert (kmeans[cost_of], kmeans[f"published_{cost_of}"]) == ("0", "0")
    assert kmeans["published"] == "0.327000"
    assert (ours[cost_of], ours["miou"], ours["published"]) == ("3072", "0.510000", "")
    assert "| Ours | 3,072 | 51.00 | 4,000 | – |" in text.read_text()
    assert f"`{request_.folder / 'small' / 'ours-s0'}`" in text.read_text()
    files = [path.read_bytes() for path in made.paths]
    runs.done.clear()
    again = make(cost(small, tmp_path, "trained_parameters"), request_)
    assert runs.done == []
    assert [path.read_bytes() for path in again.paths] == files


def test_cost_can_be_time(request_, small, tmp_path):
    _, points, text = make(cost(small, tmp_path, "seconds"), request_).paths
    assert points.read_text().splitlines()[1].startswith("kmeans,K-means,,3.000000,0.300000,")
    assert "| K-means | 3 | 30.00 | – | 32.70 |" in text.read_text()


def test_figure_1_is_annotation_and_training_time_against_accuracy(request_, small, tmp_path):
    text = (tmp_path / "small.yaml").read_text()
    text = text.replace("seeds: [0, 1], ", "seeds: [0, 1], training_h: 0.3, ")
    (tmp_path / "small.yaml").write_text(text)
    path = tmp_path / "cost.yaml"
    path.write_text(COST.replace("PATH", small).replace("KIND", "[annotation, fit_seconds]"))
    _, points, text = make(load(str(path)), request_).paths
    assert (
        points.read_text()
        .splitlines()[0]
        .startswith(
            "row,label,category,annotation,fit_seconds,miou,ci_low,ci_high,"
            "published_annotation,published_fit_seconds,published,run"
        )
    )
    # of the runs that are made up: fitting took 2 s, and seed k learned from k scenes of 7000 px
    assert "| Ours | 3,500 | 2 | 51.00 | – | 1,080 | – |" in text.read_text()
    assert "| K-means | 0 | 2 | 30.00 | – | – | 32.70 |" in text.read_text()


def test_a_cell_that_failed_is_no_point(request_, runs, small, tmp_path):
    runs.broken = {"mapsr"}
    made = make(cost(small, tmp_path, "trained_parameters"), request_)
    assert sorted(made.failures) == ["small/ours-s0", "small/ours-s1"]
    assert "| Ours | – | – | 4,000 | – | – |" in made.paths[2].read_text()


def test_maps_stand_side_by_side(request_, runs, maps, monkeypatch):
    drawn = []
    draw = figures.grid_figure
    monkeypatch.setattr(figures, "grid_figure", lambda *given: (drawn.append(given), draw(*given)))
    made = make(maps, request_)
    assert runs.done == ["kmeans-s0", "ours-s0"]  # a map is that of the first seed
    ((_, rows, _, pixel_m),) = drawn
    assert pixel_m == 1
    titles = [[title for title, _ in row] for row in rows]
    assert titles == [["image", "truth", "K-means", "MapSR"]] * 2
    assert [row[0][1].shape[1:] for row in rows] == [(40, 60), (70, 110)]
    assert [array.max() for _, array in rows[0][2:]] == [1, 2]  # the first run and the second
    assert imread(made.paths[0]).shape[0] > 500
    text = made.paths[1].read_text()
    assert f"- MapSR: `{request_.folder / 'small' / 'ours-s0'}`" in text
    assert "- A note." in text


def test_a_map_that_is_not_there_is_left_out(request_, runs, maps):
    runs.broken = {"mapsr"}
    made = make(maps, request_)
    assert [path.name for path in made.paths] == ["maps.png", "maps.md"]
    assert "- MapSR: – (no finished run)" in made.paths[1].read_text()
    assert list(made.failures) == ["small/ours-s0"]


def test_the_first_scenes_can_be_counted(request_, maps):
    assert make(replace(maps, scenes=3), request_).paths[0].exists()


def test_a_scene_that_is_not_scored_is_refused(request_, maps):
    wrong = replace(maps, scenes=(MapScene("vilage", None),))
    with pytest.raises(DataError, match=r"shows scene 'vilage'.* Did you mean 'village'"):
        make(wrong, request_)


def test_a_window_outside_is_refused(request_, maps):
    wrong = replace(maps, scenes=(MapScene("village", (70, 0, 5, 5)),))
    with pytest.raises(DataError, match=r"\[70, 0, 5, 5\] lies outside of scene 'village'.* 70 x"):
        make(wrong, request_)


def test_a_panel_of_no_row_is_refused(request_, runs, maps):
    wrong = replace(maps, panels=(replace(maps.panels[0], row="kmean"),))
    with pytest.raises(ConfigError, match=r"a row of table 'small' is 'kmean'.* 'kmeans'"):
        make(wrong, request_)
    assert runs.done == []
