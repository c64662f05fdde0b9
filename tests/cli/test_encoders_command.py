"""Runs and maps with encoders that are not ViTs."""

import json

import numpy as np
import pytest
import rasterio
import stand_ins  # noqa: F401 - one thread
import torch

from mapsr import weights
from mapsr.cli.main import main
from mapsr.features import TimmSettings

QUICK = (
    *("data.height=160", "data.width=172", "data.fit_scenes=1", "data.score_scenes=1"),
    *("logger=none", "windows.chip=96", "windows.overlap=16", "windows.unit=96"),
    *("prompts.pixels=500", "prompts.epochs=1", "upsampler=nearest", "refine=none"),
)
CONVNEXT = ("backbone=timm", "backbone.model=convnext_atto", "backbone.layer=1")


def labels_of(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def done(*words):
    return main(["run", *QUICK, *words])


def test_a_run_with_a_convolutional_encoder_and_its_map(tmp_path):
    run, own = tmp_path / "run", tmp_path / "own"
    random = ("backbone.pretrained=false", "backbone.seed=3")
    assert done(*CONVNEXT, *random, f"output={run}") == 0
    image = run / "scenes" / "score_0" / "image.tif"
    out = tmp_path / "map.tif"
    assert main(["map", f"fitted={run}", f"image={image}", f"out={out}"]) == 0
    labels = labels_of(run / "maps" / "score_0.tif")
    assert np.array_equal(labels_of(out), labels)
    (known,) = json.loads((run / "record.json").read_text())["weights"]
    assert known["name"] == "random, seed 3"
    # the same weights as a file of one's own: the same map, under the file's name
    encoder = TimmSettings(model="convnext_atto", pretrained=False, seed=3).build()
    state = {f"module.{name}": one for name, one in encoder.model.state_dict().items()}
    torch.save({"model": state}, tmp_path / "mine.pth")
    assert done(*CONVNEXT, f"backbone.checkpoint={tmp_path / 'mine.pth'}", f"output={own}") == 0
    assert np.array_equal(labels_of(own / "maps" / "score_0.tif"), labels)
    (known,) = json.loads((own / "record.json").read_text())["weights"]
    assert known["name"] == "mine.pth"
    assert known["sha256"] == weights.sha256_of(tmp_path / "mine.pth")


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    """No weights, no network."""
    for name in ("MAPSR_WEIGHTS", "MAPSR_SHARED", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MAPSR_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("backbone=dinov3_vits16",),
            "are under the DINOv3 License, which has to be accepted first: read it at https://ai.m",
        ),
        (
            ("backbone=dinov3_vits16", "backbone.accept_licence=dinov3"),
            "the weights dinov3_vits16 are not on this machine and the network is switched off",
        ),
        (
            ("backbone=timm", "backbone.model=convnext_nano.d1h_in1k"),
            "Fetch them from https://huggingface.co/timm/convnext_nano.d1h_in1k (file model",
        ),
        (("backbone=convnxt_tiny",), "Did you mean 'convnext_tiny'?"),
    ],
)
def test_what_is_missing_is_one_sentence(bare_machine, tmp_path, capsys, words, message):
    assert done(*words, f"output={tmp_path / 'run'}") == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_licences_are_accepted_where_weights_are_fetched(bare_machine, capsys):
    assert main(["weights", "fetch", "dinov3_vits16"]) == 1
    assert "--accept-licence dinov3" in capsys.readouterr().err
    assert main(["weights", "fetch", "dinov3_vits16", "--accept-licence", "dinov3"]) == 1
    assert "the network is switched off" in capsys.readouterr().err
    assert main(["weights", "list"]) == 0
    (line,) = (one for one in capsys.readouterr().out.splitlines() if "dinov3_vits16" in one)
    assert "DINOv3 License (to be accepted)" in line


def test_bands_and_layers_are_explained_and_set(capsys):
    assert main(["help", "backbone=dofa_base"]) == 0
    out = capsys.readouterr().out
    assert "backbone.wavelengths (backbone, kind torchgeo): tuple[float, ...] | None" in out
    shown = ["run", "--show", "backbone=panopticon", "backbone.bands=[red,green,blue,nir]"]
    assert main(shown) == 0
    assert "panopticon_vitb14" in capsys.readouterr().out
