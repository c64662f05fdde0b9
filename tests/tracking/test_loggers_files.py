"""The mirrors that are files: logs.csv and TensorBoard's."""

import csv
import sys

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mapsr.errors import ConfigError
from mapsr.settings import settings_class
from mapsr.tracking.csv_logger import CsvLogger, CsvSettings
from mapsr.tracking.tensorboard_logger import TensorboardSettings

NAMES = ("water", "trees")
COUNTS = np.array([[5, 1, 0], [2, 7, 3]])
METRICS = {"miou": 0.5, "iou": {"water": 0.25, "trees": None}, "transductive": False}


def rows(folder):
    with (folder / "logs.csv").open(newline="") as file:
        return list(csv.reader(file))


def board(folder):
    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return found


def scalars(folder, name):
    return [(event.step, round(event.value, 6)) for event in board(folder).Scalars(name)]


def picture(folder):
    path = folder / "map.png"
    colours = np.zeros((4, 6, 3), np.uint8)
    colours[1, 2] = (250, 120, 30)
    Image.fromarray(colours).save(path)
    return path


def test_they_are_choices():
    assert settings_class("logger", "csv") is CsvSettings
    assert settings_class("logger", "tensorboard") is TensorboardSettings


def test_csv_has_a_line_for_each_number_at_once(tmp_path):
    with CsvSettings().open(tmp_path, "x", {}) as logger:
        logger.step(1, {"train/loss": 0.5, "train/learning_rate": 1e-3})
        expected = [
            ["step", "name", "value"],
            ["1", "train/loss", "0.5"],
            ["1", "train/learning_rate", "0.001"],
        ]
        assert rows(tmp_path) == expected  # before the file is closed
        logger.step(2, {"train/loss": 0.25})
        logger.metrics(METRICS)
        logger.picture("map", tmp_path / "none.png")
        logger.confusion(COUNTS, NAMES)
    expected += [["2", "train/loss", "0.25"], ["", "miou", "0.5"], ["", "iou/water", "0.25"]]
    assert rows(tmp_path) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["logs.csv"]


def test_csv_of_a_resumed_training_goes_on(tmp_path):
    with CsvSettings().open(tmp_path, "x", {}) as logger:
        for step in (1, 2, 3):
            logger.step(step, {"train/loss": 1 / step})
        logger.metrics({"miou": 0.1})
    with (tmp_path / "logs.csv").open("a") as file:
        file.write("4,train/lo")  # killed here
    with CsvSettings().open(tmp_path, "x", {}) as logger:
        logger.step(3, {"train/loss": 9.0})
        logger.metrics({"miou": 0.2})
    steps = [row for row in rows(tmp_path)[1:] if row[0]]
    assert steps == [
        ["1", "train/loss", "1.0"],
        ["2", "train/loss", "0.5"],
        ["3", "train/loss", "9.0"],
    ]
    assert rows(tmp_path)[-1] == ["", "miou", "0.2"]
    # trained already: there are no more steps, and those that there were stay
    with CsvSettings().open(tmp_path, "x", {}) as logger:
        logger.metrics({"miou": 0.3})
    assert rows(tmp_path)[1:] == [*steps, ["", "miou", "0.3"]]


def test_csv_of_a_training_that_begins_anew_begins_anew(tmp_path):
    for loss in (1.0, 2.0):
        with CsvSettings().open(tmp_path, "x", {}) as logger:
            for step in (1, 2):
                logger.step(step, {"train/loss": loss})
    assert rows(tmp_path)[1:] == [["1", "train/loss", "2.0"], ["2", "train/loss", "2.0"]]


def test_csv_is_closed_by_a_failure(tmp_path, monkeypatch):
    closed, close = [], CsvLogger.close

    def spy(logger):
        close(logger)
        closed.append(logger._file.closed)

    monkeypatch.setattr(CsvLogger, "close", spy)
    with (
        pytest.raises(KeyError, match="inside"),
        CsvSettings().open(tmp_path, "x", {}) as logger,
    ):
        logger.step(1, {"train/loss": 0.5})
        raise KeyError("inside")
    assert closed == [True]
    assert rows(tmp_path)[1:] == [["1", "train/loss", "0.5"]]


def test_tensorboard_shows_all_that_a_run_makes(tmp_path, capfd):
    folder = tmp_path / "run"
    config = {"seed": 0, "data": {"root": "a|b", "bands": None}}
    with TensorboardSettings().open(folder, "cell", config) as logger:
        logger.step(1, {"train/loss": 0.5})
        logger.step(2, {"train/loss": 0.25})
        logger.metrics(METRICS)
        logger.picture("map", picture(tmp_path))
        logger.confusion(COUNTS, NAMES)
    assert [path.name for path in folder.iterdir()] == ["tensorboard"]
    found = board(folder)
    assert scalars(folder, "train/loss") == [(1, 0.5), (2, 0.25)]
    assert scalars(folder, "miou") == [(0, 0.5)]
    assert set(found.Tags()["scalars"]) == {"train/loss", "miou", "iou/water"}
    (image,) = found.Images("map")
    assert (image.height, image.width) == (4, 6)
    texts = {
        tag: found.Tensors(tag)[0].tensor_proto.string_val[0].decode()
        for tag in found.Tags()["tensors"]
    }
    assert "    data:\n      root: a|b\n" in texts["config/text_summary"]
    assert texts["confusion/text_summary"].splitlines() == [
        "truth|water|trees|nodata",
        "---|---|---|---",
        "water|5|1|0",
        "trees|2|7|3",
    ]
    assert capfd.readouterr() == ("", "")


def test_tensorboard_forgets_the_steps_that_a_resumed_training_does_again(tmp_path):
    for first in (1, 3):
        with TensorboardSettings().open(tmp_path, "x", {}) as logger:
            for step in range(first, 5):
                logger.step(step, {"train/loss": 10.0 * first + step})
    assert scalars(tmp_path, "train/loss") == [(1, 11.0), (2, 12.0), (3, 33.0), (4, 34.0)]


def test_tensorboard_is_closed_by_a_failure(tmp_path, monkeypatch):
    from torch.utils.tensorboard import SummaryWriter

    closed, close = [], SummaryWriter.close

    def spy(writer):
        closed.append(writer)
        close(writer)

    monkeypatch.setattr(SummaryWriter, "close", spy)
    with (
        pytest.raises(KeyError, match="inside"),
        TensorboardSettings().open(tmp_path, "x", {}) as logger,
    ):
        logger.step(1, {"train/loss": 0.5})
        raise KeyError("inside")
    assert len(closed) == 1
    assert scalars(tmp_path, "train/loss") == [(1, 0.5)]


def test_tensorboard_that_is_not_installed_is_a_sentence(tmp_path, monkeypatch):
    for name in [*sys.modules]:
        if name.startswith(("tensorboard", "torch.utils.tensorboard")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with (
        pytest.raises(ConfigError, match=r"which is not installed.*mapsr\[tensorboard\]"),
        TensorboardSettings().open(tmp_path / "run", "x", {}),
    ):
        pytest.fail("opened")
    assert not (tmp_path / "run").exists()
