"""`mapsr table`, from the command line to the files."""

import csv
import json

import pytest
import stand_ins  # noqa: F401 - one thread

from mapsr.cli.compose import compose_run
from mapsr.cli.main import main
from mapsr.settings import kind_of
from mapsr.tables.definitions import TableDefinition
from mapsr.tables.loading import definition_names, load

TINY = """
title: Tiny
caption: Drawn scenes.
all:
  - data.height=200
  - data.width=232
  - data.fit_scenes=1
  - data.score_scenes=2
  - windows.chip=112
  - windows.overlap=24
  - prompts.pixels=2048
  - prompts.epochs=2
  - backbone.channels=64
  - refine=none
  - logger=none
reference: nearest
rows:
  - {name: nearest, label: Nearest, overrides: [upsampler=nearest], published: 12.5}
  - {name: bilinear, label: Bilinear, overrides: [upsampler=bilinear]}
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Path of a definition, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    return "tiny.yaml"


def test_a_table_is_run_written_and_found_again(tiny, tmp_path, capsys):
    assert main(["table", tiny, "--dry-run"]) == 0
    planned = capsys.readouterr().out.splitlines()
    assert planned == [f"missing   outputs/tables/tiny/{row}-s0" for row in ("nearest", "bilinear")]
    assert main(["table", tiny, "--only", "nearest"]) == 0
    assert "(1) not run (seed 0)" in capsys.readouterr().out
    assert main(["table", tiny]) == 0
    out = capsys.readouterr().out
    assert "| Nearest | 0.000256 | 12.50 |" in out
    assert out.rstrip().endswith("written to outputs/tables/tiny.csv")
    folder = tmp_path / "outputs" / "tables"
    files = {path: path.read_bytes() for path in folder.glob("tiny.*")}
    assert len(files) == 3
    with (folder / "tiny.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        metrics = json.loads((tmp_path / line["run"] / "metrics.json").read_text())
        assert line["miou"] == f"{metrics['miou']:.6f}"
        assert line["ci_low"] == f"{metrics['intervals']['miou'][0]:.6f}"
        assert int(line["trained_parameters"]) == metrics["trained_parameters"]
    assert (lines[0]["published"], lines[1]["published"]) == ("0.125000", "")
    assert lines[1]["difference"] == f"{float(lines[1]['miou']) - float(lines[0]['miou']):.6f}"
    assert main(["table", tiny]) == 0
    assert {path: path.read_bytes() for path in folder.glob("tiny.*")} == files
    assert main(["table", tiny, "prompts.epochs=3"]) == 1
    error = capsys.readouterr().err
    assert "error: cell 'tiny/nearest-s0' is stale: " in error
    assert "prompts.epochs is 3, was 2 (2 cells are stale in all)" in error
    assert main(["table", tiny, "prompts.epochs=3", "--dry-run"]) == 1
    assert capsys.readouterr().out.splitlines()[0] == "stale     outputs/tables/tiny/nearest-s0"


def test_a_cell_that_fails_makes_the_exit_status(tiny, capsys, tmp_path):
    assert main(["table", tiny, "data.root=tiny.yaml"]) == 1
    assert "error: cell tiny/nearest-s0 failed: " in capsys.readouterr().err
    assert (tmp_path / "outputs" / "tables" / "tiny.md").exists()


def test_tables_are_listed(capsys):
    assert main(["table", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == definition_names()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tabel1"], "no table or figure 'tabel1'"),
        ([], "mapsr table needs a name: ecovision4, "),
        (["refine=none"], "mapsr table needs a name"),
        (["table2", "data.root=nowhere", "seed=3"], "seed= can't be set for a table"),
        (["table2", "--only", "mapsr"], "--only names 'mapsr', expected a row or column"),
        (["table2"], "cell 'table2/no_upsampling-ny-s0': data.root has no value"),
        (["table2", "data.rot=x"], "cell 'table2/no_upsampling-ny-s0': Unknown key 'data.rot'"),
    ],
)
def test_bad_input_is_one_sentence(words, message, capsys):
    assert main(["table", *words]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "name", [name for name in definition_names() if isinstance(load(name), TableDefinition)]
)
def test_every_row_and_column_of_the_committed_tables_composes(name, tmp_path, monkeypatch):
    monkeypatch.setenv("MAPSR_SHARED", str(tmp_path))
    table = load(name)
    pairs = [(row, table.columns[0]) for row in table.rows]
    pairs += [(table.rows[0], column) for column in table.columns[1:]]
    for row, column in pairs:
        networks = row.name in (
            "paraformer",
            "l2hnet",
            "paraformer_all",
            "l2hnet_all",
            "efficientvit",
            "efficientvim",
            "unetformer",
        )
        common = [one for one in table.overrides if networks or not one.startswith("training.")]
        settings = compose_run(
            [*common, *column.overrides, *row.overrides, f"data.root={tmp_path}"]
        )
        assert (settings.network is not None) == networks
        assert kind_of(settings.method) in ("mapsr", "kmeans_voting", "network")
