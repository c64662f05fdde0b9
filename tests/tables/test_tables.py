"""Tables from end to end, with runs that are made up."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from make_cells import MadeUpRuns, compose_with, settings_on

from mapsr.errors import ConfigError, DataError
from mapsr.networks import L2HNetSettings
from mapsr.tables import cells
from mapsr.tables.definitions import AVERAGE, Column, Row, TableDefinition
from mapsr.tables.making import Request, make_table, plan
from mapsr.tracking.finished import read_confusion

TABLE = TableDefinition(
    name="small",
    title="Small",
    caption="Made up.",
    overrides=("refine.segments=50",),
    rows=(
        Row("kmeans", "K-means", "", ("method=kmeans_voting",), (0,), {"": 0.327}, 0),
        Row("ours", "Ours", "", ("method=mapsr",), (0, 1, 2), {"": 0.6091}, 4000),
        Row("net", "Net", "", ("method=network",), (3,), {}, None),
    ),
    columns=(Column("", "", ()),),
    average=None,
    show=("miou", "oa"),
    reference=None,
    notes=(),
)
STATES = replace(
    TABLE,
    rows=tuple(replace(row, published={AVERAGE: 0.5}) for row in TABLE.rows[:2]),
    columns=(Column("de", "Delaware", ("prompts.epochs=1",)), Column("ny", "New York", ())),
    average="Average",
)
CELLS = ["kmeans-s0", "ours-s0", "ours-s1", "ours-s2", "net-s3"]


@pytest.fixture(scope="module")
def base(scene_folder):
    return settings_on(scene_folder)


@pytest.fixture(autouse=True)
def no_memory_held(monkeypatch):
    """What is made up holds no memory, and looking for some takes most of these tests' time."""
    monkeypatch.setattr(cells.gc, "collect", lambda: 0)


@pytest.fixture
def runs():
    return MadeUpRuns()


@pytest.fixture
def request_(base, runs, tmp_path):
    """What is asked for in these tests."""
    return Request(compose_with(base), folder=tmp_path / "tables", run=runs)


def rows_of(folder, name="small"):
    with (folder / f"{name}.csv").open(newline="") as file:
        return {(line["row"], line["column"]): line for line in csv.DictReader(file)}


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("small.*"))}


def test_every_cell_is_run_and_every_format_written(request_, runs):
    made = make_table(TABLE, request_)
    assert runs.done == CELLS
    assert [path.name for path in made.paths] == ["small.md", "small.tex", "small.csv"]
    assert made.failures == {}
    found = rows_of(request_.folder)
    ours = found["ours", ""]
    assert float(ours["miou"]) == pytest.approx(0.52)
    assert float(ours["seed_std"]) == pytest.approx(0.02)
    assert float(ours["ci_low"]) == pytest.approx(0.45)  # of the first seed
    assert (ours["trained_parameters"], ours["published"]) == ("3072", "0.609100")
    assert ours["run"] == str(request_.folder / "small" / "ours-s0")
    assert ours["seeds"] == "0 1 2"
    text = made.paths[0].read_text()
    assert "mapsr 9.9.9; data: geotiff in " in text
    for cell in CELLS:
        assert f"`{request_.folder / 'small' / cell}`" in text
        assert (request_.folder / "small" / cell / "metrics.json").exists()


def test_a_finished_table_runs_nothing_and_is_written_alike(request_, runs):
    make_table(TABLE, request_)
    first, runs.done[:] = files_of(request_.folder), []
    for path in request_.folder.glob("small.*"):
        path.unlink()
    make_table(TABLE, request_)
    assert runs.done == []
    assert files_of(request_.folder) == first


def test_a_table_goes_on_where_it_stopped(request_, runs):
    def stopped(settings, progress):
        if len(runs.done) == 2:
            raise KeyboardInterrupt
        return runs(settings, progress)

    with pytest.raises(KeyboardInterrupt):
        make_table(TABLE, replace(request_, run=stopped))
    assert runs.done == CELLS[:2]
    make_table(TABLE, request_)
    assert runs.done == CELLS


def test_a_cell_whose_result_is_gone_is_run_again(request_, runs):
    make_table(TABLE, request_)
    (request_.folder / "small" / "ours-s1" / "metrics.json").unlink()
    runs.done.clear()
    make_table(TABLE, request_)
    assert runs.done == ["ours-s1"]


def test_a_failing_cell_is_recorded_and_the_others_go_on(request_, runs):
    runs.broken = {"mapsr"}
    made = make_table(TABLE, request_)
    assert runs.done == CELLS
    assert made.failures == {f"small/ours-s{seed}": "mapsr can't be fitted." for seed in range(3)}
    ours, kmeans = (rows_of(request_.folder)[row, ""] for row in ("ours", "kmeans"))
    assert (ours["miou"], ours["run"], ours["published"]) == ("", "", "0.609100")
    assert float(kmeans["miou"]) == pytest.approx(0.3)
    text = made.paths[0].read_text()
    assert "| Ours | 0.004 | – | 60.91 | – (1) | – |" in text
    assert "(1) failed (seed 0, 1, 2): mapsr can't be fitted." in text
    record = json.loads((request_.folder / "small" / "failed.json").read_text())
    assert "Traceback" in record["small/ours-s1"]["trace"]
    assert (request_.folder / "small" / "ours-s1" / "failed.json").exists()
    runs.broken, runs.done = set(), []
    assert make_table(TABLE, request_).failures == {}
    assert runs.done == CELLS[1:4]
    assert not (request_.folder / "small" / "failed.json").exists()


def test_any_error_of_a_run_leaves_the_others_alone(request_, runs):
    def wrong(settings, progress):
        if settings.seed == 1:
            raise ZeroDivisionError("division by zero")
        return runs(settings, progress)

    made = make_table(TABLE, replace(request_, run=wrong))
    assert made.failures == {"small/ours-s1": "ZeroDivisionError: division by zero"}
    ours = rows_of(request_.folder)["ours", ""]
    assert (ours["seeds"], float(ours["miou"])) == ("0 2", pytest.approx(0.52))
    assert ours["remarks"] == "failed (seed 1): ZeroDivisionError: division by zero"


def test_a_stale_cell_is_refused_before_anything_is_run(request_, runs):
    make_table(TABLE, request_)
    files, runs.done[:] = files_of(request_.folder), []
    shutil.rmtree(request_.folder / "small" / "kmeans-s0")
    changed = replace(TABLE, overrides=("refine.segments=60",))
    message = (
        r"cell 'small/ours-s0' is stale: .* other settings: refine.segments is 60, was 50 "
        r"\(3 cells are stale in all\); nothing was run. overwrite=true"
    )
    with pytest.raises(ConfigError, match=message):
        make_table(changed, request_)
    assert runs.done == []
    assert files_of(request_.folder) == files
    assert (request_.folder / "small" / "ours-s2" / "metrics.json").exists()


def test_stale_cells_alone_are_overwritten(request_, runs):
    make_table(TABLE, request_)
    runs.done.clear()
    runs.mious["mapsr"] = 0.7
    changed = replace(TABLE, rows=(TABLE.rows[0], replace(TABLE.rows[1], overrides=(
        "method=mapsr", "refine.segments=60")), TABLE.rows[2]))  # fmt: skip
    make_table(changed, replace(request_, overrides=("overwrite=true",)))
    assert runs.done == CELLS[1:4]
    assert float(rows_of(request_.folder)["ours", ""]["miou"]) == pytest.approx(0.72)


def test_other_imagery_makes_cells_stale(request_, runs, scene_folder, tmp_path):
    make_table(TABLE, request_)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(scene_folder, elsewhere)
    moved = replace(request_, overrides=(f"data.root={elsewhere}",))
    runs.done.clear()
    make_table(TABLE, moved)  # the same files at another place
    assert runs.done == []
    with (elsewhere / "val" / "village_naip.tif").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ConfigError, match=r"cell 'small/kmeans-s0' is stale: .*: inputs is"):
        make_table(TABLE, moved)


def test_a_run_of_another_version_is_refused(request_):
    make_table(TABLE, request_)
    config = request_.folder / "small" / "ours-s2" / "config.yaml"
    config.write_text(config.read_text().replace("version: 1", "version: 99"))
    with pytest.raises(ConfigError, match=r"cell 'small/ours-s2' is stale: .* has version 99"):
        make_table(TABLE, request_)


def test_foreign_files_are_not_run_over(request_):
    folder = request_.folder / "small" / "ours-s0"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"cell 'small/ours-s0' .* no run of mapsr made"):
        make_table(TABLE, request_)
    assert (folder / "notes.txt").read_text() == "mine"


def test_data_that_is_not_there_is_an_error_and_no_empty_table(request_, tmp_path):
    make_table(TABLE, request_)
    files = files_of(request_.folder)
    with pytest.raises(DataError):
        make_table(TABLE, replace(request_, overrides=(f"data.root={tmp_path / 'nowhere'}",)))
    assert files_of(request_.folder) == files


def test_a_state_that_is_not_there_is_an_empty_column(request_, tmp_path):
    nowhere = replace(STATES.columns[0], overrides=(f"data.root={tmp_path / 'nowhere'}",))
    made = make_table(replace(STATES, columns=(nowhere, STATES.columns[1])), request_)
    assert sorted(made.failures) == [f"small/{one}" for one in (
        "kmeans-de-s0", "ours-de-s0", "ours-de-s1", "ours-de-s2")]  # fmt: skip
    found = rows_of(request_.folder)
    assert float(found["ours", "ny"]["miou"]) == pytest.approx(0.52)
    assert (found["ours", "de"]["miou"], found["ours", AVERAGE]["miou"]) == ("", "")


def test_columns_have_runs_of_their_own_and_an_average(request_, runs):
    make_table(STATES, request_)
    assert runs.done[:2] == ["kmeans-de-s0", "kmeans-ny-s0"]
    assert len(runs.done) == 8
    found = rows_of(request_.folder)
    assert list(found) == [(r, c) for r in ("kmeans", "ours") for c in ("de", "ny", AVERAGE)]
    average = found["ours", AVERAGE]
    assert float(average["miou"]) == pytest.approx(0.52)
    assert float(average["seed_std"]) == pytest.approx(0.02)
    folder = request_.folder / "small"
    assert average["run"] == f"{folder / 'ours-de-s0'}; {folder / 'ours-ny-s0'}"
    config = (folder / "ours-de-s0" / "config.yaml").read_text()
    assert "epochs: 1\n" in config


def test_only_runs_named_rows_and_columns_and_shows_the_others(request_, runs):
    make_table(STATES, replace(request_, only=("kmeans",)))
    assert runs.done == ["kmeans-de-s0", "kmeans-ny-s0"]
    make_table(STATES, replace(request_, only=("ours", "ny")))
    assert runs.done[2:] == ["ours-ny-s0", "ours-ny-s1", "ours-ny-s2"]
    found = rows_of(request_.folder)
    assert found["kmeans", "de"]["miou"] == "0.300000"
    assert found["ours", "de"]["remarks"] == "not run (seed 0, 1, 2)"
    with pytest.raises(ConfigError, match=r"--only names 'our'.* Did you mean 'ours'"):
        make_table(STATES, replace(request_, only=("our",)))


def test_other_data_makes_one_column_in_folders_of_its_own(request_):
    columns = tuple(replace(one, overrides=("data.root=x",)) for one in STATES.columns)
    table = replace(STATES, columns=columns, overrides=("data=chesapeake",))
    asked = replace(request_, overrides=("data=geotiff",))
    names = [cell.path.name for cell, _ in plan(table, asked)]
    assert names == ["kmeans-geotiff-s0", *(f"ours-geotiff-s{seed}" for seed in range(3))]


def test_settings_of_networks_reach_the_rows_that_have_one(request_):
    asked = replace(request_, overrides=("network.width=64",))
    networks = {cell.row: cell.settings.network for cell, _ in plan(TABLE, asked)}
    assert networks == {"kmeans": None, "ours": None, "net": L2HNetSettings(width=64)}


@pytest.mark.parametrize("override", ["seed=3", "output=here", "name=x"])
def test_what_belongs_to_the_table_cant_be_set(request_, override):
    key = override.partition("=")[0]
    with pytest.raises(ConfigError, match=f"{key}= can't be set for a table"):
        make_table(TABLE, replace(request_, overrides=(override,)))


def test_a_cell_that_cant_be_composed_is_named(request_, runs):
    with pytest.raises(ConfigError, match=r"cell 'small/kmeans-s0': Unknown key 'refine.segmens'"):
        make_table(TABLE, replace(request_, overrides=("refine.segmens=3",)))
    assert runs.done == []


def test_a_difference_is_that_of_the_same_scenes(request_):
    make_table(replace(TABLE, reference="kmeans"), request_)
    found = rows_of(request_.folder)
    assert found["kmeans", ""]["difference"] == ""
    # in each scene 20 of 100 pixels more are right: IoU 50 / 150 against 30 / 170, and the like
    assert 0 < float(found["ours", ""]["difference_low"]) < float(found["ours", ""]["difference"])
    kmeans = read_confusion(request_.folder / "small" / "kmeans-s0")
    assert kmeans["a"].counts.tolist() == MadeUpRuns()._confusion(0.3, "a").counts.tolist()


def test_damaged_counts_are_refused(tmp_path):
    (tmp_path / "confusion.csv").write_text("scene,truth,predicted,pixels\na,water,trees,5\n")
    with pytest.raises(DataError, match=r"can't be read as confusion counts \('trees'\)"):
        read_confusion(tmp_path)
    with pytest.raises(DataError, match="can't be read as confusion counts"):
        read_confusion(Path(tmp_path / "none"))


def test_counts_are_read_as_they_were_written(request_):
    make_table(TABLE, request_)
    found = read_confusion(request_.folder / "small" / "ours-s0")
    assert list(found) == ["a", "b"]
    assert np.array_equal(found["b"].counts, MadeUpRuns()._confusion(0.5, "b").counts)


def test_a_difference_pairs_runs_of_one_seed(request_):
    def difference(seeds):
        rows = [replace(row, seeds=one) for row, one in zip(TABLE.rows[:2], seeds, strict=True)]
        table = replace(TABLE, rows=tuple(rows), reference="kmeans")
        make_table(table, request_)
        return rows_of(request_.folder)["ours", ""]["difference"]

    alone = difference([(1,), (1,)])
    assert difference([(0, 1), (1, 2)]) == alone  # seed 1 is all that both have
    both = float(difference([(2, 0, 1), (0, 1, 2)]))
    each = [float(difference([(seed,), (seed,)])) for seed in range(3)]
    assert both == pytest.approx(np.mean(each), abs=2e-6)
    assert len(set(each)) == 3
    assert difference([(0,), (1,)]) == ""


def test_a_table_says_which_rows_saw_the_scored_scenes_labels(request_, runs):
    def run(settings, progress):
        path, metrics = runs(settings, progress)
        metrics["transductive"] = settings.seed == 3
        (path / "metrics.json").write_text(json.dumps(metrics))
        return path, metrics

    [text, *_] = make_table(TABLE, replace(request_, run=run)).paths
    said = "- Rows that were fitted on the coarse labels of the scored scenes, too: "
    assert f"{said}Net." in text.read_text()
    rest = replace(TABLE, name="rest", rows=TABLE.rows[:2])
    [text, *_] = make_table(rest, replace(request_, run=run)).paths
    assert f"{said}none." in text.read_text()
