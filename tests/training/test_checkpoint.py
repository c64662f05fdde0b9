"""Checkpoints: how often, of which training, and what becomes of damaged ones."""

import pytest
import torch
from train_small import CLASSES, L2HNET, UNETFORMER, Killed, recipe, train

from mapsr.errors import ConfigError, WeightsError
from mapsr.training import identity_of
from mapsr.training.checkpoint import FILE


def test_checkpoints_are_as_frequent_as_asked_and_one_is_kept(tmp_path, scenes):
    with pytest.raises(Killed):
        train(tmp_path, scenes, L2HNET, recipe(checkpoint_every=2, epochs=5), kill=19)
    (file,) = (tmp_path / "checkpoints").iterdir()
    assert file.name == FILE
    assert torch.load(file, weights_only=True)["step"] == 16
    with pytest.raises(Killed):
        train(tmp_path / "none", scenes, L2HNET, recipe(checkpoint_every=None), kill=9)
    assert not (tmp_path / "none").exists()


def test_what_a_process_killed_while_writing_left_is_cleared(tmp_path, scenes):
    leftover = tmp_path / "checkpoints" / ".last-abc.pt"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    train(tmp_path, scenes, L2HNET, recipe(epochs=1))
    assert not leftover.exists()


@pytest.fixture
def killed(tmp_path, scenes):
    with pytest.raises(Killed):
        train(tmp_path, scenes, L2HNET, recipe(), kill=6)
    return tmp_path


def test_a_checkpoint_of_other_settings_is_refused(killed, scenes):
    message = r"checkpoint of another training: training.batch was 2, but is 4"
    with pytest.raises(ConfigError, match=message):
        train(killed, scenes, L2HNET, recipe(batch=4))
    # settings of speed do not change what is trained
    train(killed, scenes, L2HNET, recipe(workers=1, checkpoint_every=2))


def test_a_checkpoint_of_another_network_is_refused(killed, scenes):
    other = identity_of(recipe()) | {"network.kind": "unetformer"}
    message = r"checkpoint of another network: network.kind was None, but is unetformer"
    with pytest.raises(WeightsError, match=message):
        train(killed, scenes, UNETFORMER, recipe(), identity=other)


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "shapes"])
def test_a_damaged_checkpoint_says_to_delete_it(killed, scenes, damage):
    file = killed / "checkpoints" / FILE
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "foreign":
        torch.save({"state_dict": {}}, file)
    else:
        state = torch.load(file, weights_only=True)
        state["network"]["head.bias"] = torch.zeros(CLASSES + 1)
        torch.save(state, file)
    with pytest.raises(WeightsError, match=r"last\.pt is damaged .*: delete it to train from"):
        train(killed, scenes, L2HNET, recipe())


def test_a_full_disk_leaves_the_older_checkpoint(killed, scenes, monkeypatch):
    file = killed / "checkpoints" / FILE
    before = file.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mapsr.training.checkpoint.torch.save", full)
    with pytest.raises(WeightsError, match=r"can't be written .*No space left.*free disk space"):
        train(killed, scenes, L2HNET, recipe())
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]
