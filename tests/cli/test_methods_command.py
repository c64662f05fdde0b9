"""`mapsr run method=...`: the same numbers again, what is recorded, what is refused."""

import json

import pytest
import stand_ins  # noqa: F401 - one thread
from make_chesapeake import make_chesapeake

from mapsr.cli.main import main
from mapsr.data.chesapeake.splits import PAPER_TILES

DRAWN = (
    "data.height=200",
    "data.width=232",
    "data.fit_scenes=1",
    "data.score_scenes=1",
    "logger=csv",
)
TRAINED = (
    "network.pretrained=false",
    "training.epochs=null",
    "training.max_steps=3",
    "training.batch=2",
    "training.crop=64",
)
METHODS = {
    "kmeans_voting": ("method=kmeans_voting", "method.pixels=4000", "method.clusters=8"),
    "unetformer": ("method=unetformer", *TRAINED),
}


def numbers(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    return {key: value for key, value in metrics.items() if key != "seconds"}


@pytest.mark.parametrize("name", METHODS)
def test_the_same_configuration_and_seed_give_the_same_numbers(tmp_path, name):
    runs = []
    for output in (tmp_path / "one", tmp_path / "two"):
        assert main(["run", *DRAWN, *METHODS[name], f"output={output}"]) == 0
        runs.append(numbers(output))
    assert runs[0] == runs[1]
    assert runs[0]["miou"] > 0


def test_a_trained_run_says_how_and_leaves_no_checkpoint(tmp_path):
    output = tmp_path / "run"
    command = ["run", *DRAWN, *METHODS["unetformer"], "recipe=released", f"output={output}"]
    assert main(command) == 0
    record = json.loads((output / "record.json").read_text())
    assert (record["method"], record["recipe"], record["steps"]) == ("network", "released", 3)
    assert record["trained_parameters"] == numbers(output)["trained_parameters"] == 11_724_766
    assert (output / "fitted.safetensors").is_file() and not (output / "checkpoints").exists()
    assert "train/loss" in (output / "logs.csv").read_text()


def test_the_chesapeake_benchmark_is_run_by_its_layout(tmp_path):
    make_chesapeake(tmp_path / "data", states=("de",))
    output = tmp_path / "run"
    data = ["data=chesapeake", f"data.root={tmp_path / 'data'}", "data.states=[de]"]
    assert main(["run", *data, *METHODS["kmeans_voting"], "logger=none", f"output={output}"]) == 0
    record = json.loads((output / "record.json").read_text())
    assert sorted(record["scenes"]["score"]) == sorted(PAPER_TILES["de"])
    assert not set(record["scenes"]["fit"]) & set(PAPER_TILES["de"])
    scores = numbers(output)
    # clusters of colours follow the drawn classes, whose product is coarser
    assert scores["oa"] > scores["coarse"]["oa"] and scores["miou"] > scores["coarse"]["miou"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method=unetfromer"], "Did you mean 'unetformer'?"),
        (["network=unetformer"], "network= is set, but the method trains no network"),
        (["recipe=fixed"], "recipe is 'fixed'"),
    ],
)
def test_methods_that_are_none_are_named(tmp_path, capsys, overrides, message):
    assert main(["run", *overrides, f"output={tmp_path / 'run'}"]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
