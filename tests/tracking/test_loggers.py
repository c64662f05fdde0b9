import os
import time

import numpy as np
import pytest
from PIL import Image

from mapsr.errors import ConfigError
from mapsr.settings import kind_of, settings_class
from mapsr.tracking.logger import NoLogger, NoLoggerSettings, flatten
from mapsr.tracking.wandb_logger import WandbSettings, has_credentials

NAMES = ("water", "trees")
COUNTS = np.array([[5, 1, 0], [2, 7, 3]])


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch, tmp_path):
    """No account, no settings, and a terminal that nobody may read from."""
    for name in [*os.environ]:
        if name.startswith("WANDB_") or name == "NETRC":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked for input"))
    monkeypatch.setattr("getpass.getpass", lambda *_: pytest.fail("asked for a key"))


def finish_codes(monkeypatch):
    """Return a list that fills with the exit codes of finished W&B runs."""
    import wandb

    codes, finish = [], wandb.Run.finish

    def spy(run, exit_code=None, **rest):
        codes.append(exit_code)
        return finish(run, exit_code, **rest)

    monkeypatch.setattr(wandb.Run, "finish", spy)
    return codes


def written(folder, *names):
    """Return what a run's W&B file holds as soon as all the names are in it.

    W&B's own process goes on writing for a moment after a run is finished.
    """
    (record,) = folder.rglob("*.wandb")
    end = time.monotonic() + 20
    while not all(name in (content := record.read_bytes()) for name in names):
        assert time.monotonic() < end, content
        time.sleep(0.01)
    return content


def test_settings_are_choices():
    assert kind_of(NoLoggerSettings()) == "none"
    assert settings_class("logger", "wandb") is WandbSettings
    assert WandbSettings().mode == "offline"


def test_a_mistyped_mode_is_refused():
    with pytest.raises(ConfigError, match=r"logger\.mode is 'ofline', expected one of .*'offline'"):
        WandbSettings(mode="ofline")


def test_no_logger_takes_everything_and_keeps_nothing(tmp_path):
    with NoLoggerSettings().open(tmp_path, "run", {}) as logger:
        assert isinstance(logger, NoLogger)
        logger.step(1, {"train/loss": 0.5})
        logger.metrics({"miou": 0.5})
        logger.picture("map", tmp_path / "none.png")
        logger.confusion(COUNTS, NAMES)
    assert list(tmp_path.iterdir()) == []


def test_offline_run_lies_in_the_folder_and_is_silent(tmp_path, monkeypatch, capfd):
    codes = finish_codes(monkeypatch)
    picture = tmp_path / "map.png"
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(picture)
    folder = tmp_path / "run"
    with WandbSettings(group="sweep", tags=("a",)).open(folder, "x", {"seed": 0}) as logger:
        logger.metrics({"miou": 0.5, "iou": {"water": 0.25, "trees": None}})
        logger.picture("map", picture)
        logger.confusion(COUNTS, NAMES)
    assert codes == [0]
    assert [path.name for path in folder.iterdir()] == ["wandb"]
    content = written(folder, b"iou/water", b"confusion")
    assert b"iou/trees" not in content
    assert capfd.readouterr() == ("", "")


def logged(monkeypatch):
    """Return a list that fills with what W&B runs log, W&B's own step included."""
    import wandb

    calls, log = [], wandb.Run.log

    def spy(run, data, *rest, **more):
        calls.append((run.step, dict(data), rest, more))
        return log(run, data, *rest, **more)

    monkeypatch.setattr(wandb.Run, "log", spy)
    return calls


def test_steps_of_a_training_have_an_axis_of_their_own(tmp_path, monkeypatch, capfd):
    calls = logged(monkeypatch)
    with WandbSettings().open(tmp_path, "x", {}) as logger:
        # W&B drops, with a warning, what comes at an earlier step than the last
        logger.metrics({"before": 1})
        for step in (100, 200, 50):
            logger.step(step, {"train/loss": 1 / step})
        logger.metrics({"miou": 0.5})
    assert [step for step, *_ in calls] == [0, 1, 2, 3, 4]
    assert [data.get("train/step") for _, data, *_ in calls] == [None, 100, 200, 50, None]
    assert all(not rest and not more for *_, rest, more in calls)
    written(tmp_path, b"train/*", b"train/step", b"train/loss", b"miou")
    assert capfd.readouterr() == ("", "")


def test_offline_needs_no_network(tmp_path, monkeypatch):
    # nobody listens there
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with WandbSettings().open(tmp_path, "x", {}) as logger:
        logger.step(1, {"train/loss": 0.5})
    written(tmp_path, b"train/loss")


def test_a_failed_run_is_finished_as_failed(tmp_path, monkeypatch):
    import wandb

    codes = finish_codes(monkeypatch)
    with (
        pytest.raises(KeyError, match="inside"),
        WandbSettings().open(tmp_path, "x", {}),
    ):
        raise KeyError("inside")
    assert codes == [1]
    assert wandb.run is None


def test_disabled_writes_nothing(tmp_path):
    with WandbSettings(mode="disabled").open(tmp_path / "run", "x", {}) as logger:
        logger.metrics({"miou": 0.5})
    assert not list(tmp_path.rglob("*.wandb"))


def test_online_without_credentials_is_refused_without_a_question(tmp_path):
    settings = WandbSettings(mode="online")
    with (
        pytest.raises(ConfigError, match=r"no W&B credentials; set WANDB_API_KEY.*mode=offline"),
        settings.open(tmp_path, "x", {}),
    ):
        pytest.fail("opened")


def test_a_server_that_does_not_answer_is_a_sentence(tmp_path, monkeypatch):
    import wandb

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)

    def refuse(**_):
        raise wandb.errors.CommError("no route")

    monkeypatch.setattr(wandb, "init", refuse)
    with (
        pytest.raises(ConfigError, match=r"W&B does not start in mode online \(no route\)"),
        WandbSettings(mode="online").open(tmp_path, "x", {}),
    ):
        pytest.fail("opened")


def test_credentials_are_found_where_wandb_looks(tmp_path, monkeypatch):
    assert not has_credentials()
    file = tmp_path / "netrc"
    file.write_text("machine api.wandb.ai login user password key\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    assert has_credentials()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org:8080")
    assert not has_credentials()
    monkeypatch.setenv("WANDB_API_KEY", "key")
    assert has_credentials()


def test_flatten_joins_names_and_leaves_out_what_is_no_number():
    nested = {
        "miou": 0.5,
        "iou": {"water": 1, "trees": None},
        "note": "text",
        "yes": True,
        "a": {"b": {"c": 2}},
    }
    assert flatten(nested) == {"miou": 0.5, "iou/water": 1, "a/b/c": 2}
