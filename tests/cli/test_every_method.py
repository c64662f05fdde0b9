"""What every method gives back: `mapsr map fitted=RUN` makes the maps of the run again."""

import json

import numpy as np
import pytest
import rasterio
import stand_ins  # noqa: F401 - one thread

from mapsr.cli.main import main
from mapsr.methods import load_fitted
from mapsr.plugins import choices_of

DRAWN = (
    *("data.height=160", "data.width=172", "data.fit_scenes=1", "data.score_scenes=1"),
    *("logger=none", "windows.chip=96", "windows.overlap=16", "windows.unit=96"),
)
TRAINED = (
    *("training.epochs=null", "training.max_steps=1", "training.batch=2", "training.crop=32"),
    "training.chips_per_scene=2",
)
RANDOM = (*TRAINED, "network.pretrained=false")
METHODS = {
    "mapsr": ("prompts.pixels=2000", "prompts.epochs=2", "upsampler=nearest"),
    "mapsr_em": ("prompts.pixels=2000", "upsampler=nearest"),
    "mapsr_hr": ("upsampler=nearest", "refine=none"),
    "kmeans_voting": ("method.pixels=4000", "method.clusters=8"),
    "paraformer": (*RANDOM, "network.width=8"),
    "l2hnet": (*TRAINED, "network.width=8"),
    "l2hnet_original": (*TRAINED, "network.width=8"),
    "unetformer": RANDOM,
    "efficientvit": RANDOM,
    "efficientvim": (*RANDOM, "training.freeze_norm=false"),
}
FROM_TRUTH = {"mapsr_hr", "unetformer", "efficientvit", "efficientvim"}
WRITTEN = ("metrics", "record")
METHODS["unet_small"] = TRAINED
ALIKE = {"unet", "hrnet", "pspnet", "deeplabv3plus", "vit", "swin", "segformer"}
"""Of the wrapper that unet_small stands for; larger."""
METHODS["paraformer"] += ("training.crop=64",)


def labels_of(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


@pytest.fixture(scope="module")
def voted(tmp_path_factory):
    run = tmp_path_factory.mktemp("voted") / "run"
    fit = ("run", "method=kmeans_voting", *DRAWN, *METHODS["kmeans_voting"], f"output={run}")
    assert main(list(fit)) == 0
    return run


def test_no_method_is_left_out():
    assert set(METHODS) | ALIKE == set(choices_of("method"))


@pytest.mark.parametrize("name", METHODS)
def test_a_fitted_method_makes_the_maps_of_its_run_again(tmp_path, name):
    run = tmp_path / "run"
    assert main(["run", f"method={name}", *DRAWN, *METHODS[name], f"output={run}"]) == 0
    # a method that learns from truth counts as such, in what it cost and in the record
    metrics, record = (json.loads((run / f"{one}.json").read_text()) for one in WRITTEN)
    assert metrics["truth_pixels"] == (160 * 172 if name in FROM_TRUTH else 0)
    assert record.get("truth_scenes") == (["fit_0"] if name in FROM_TRUTH else None)
    image = run / "scenes" / "score_0" / "image.tif"
    coarse = [f"coarse={run}/scenes/score_0/coarse.tif"] if name == "mapsr_em" else []
    given = [f"fitted={run}", f"image={image}", f"out={tmp_path / 'map.tif'}", *coarse]
    assert main(["map", *given, "confidence=true", "scores=true"]) == 0
    labels = labels_of(tmp_path / "map.tif")
    assert np.array_equal(labels, labels_of(run / "maps" / "score_0.tif"))
    fitted = load_fitted(run)
    assert fitted.windows.chip == 96 and fitted.image.bands == 4
    with rasterio.open(tmp_path / "map_scores.tif") as scores:
        assert scores.count == len(fitted.target)
        assert np.array_equal(scores.read().argmax(0)[labels != 255], labels[labels != 255])


@pytest.mark.parametrize("name", ["kmeans_voting", "l2hnet_original"])
def test_a_method_is_fitted_on_a_product_and_maps_at_once(tmp_path, name, scene_folder, capsys):
    image = scene_folder / "val" / "village_naip.tif"
    coarse = scene_folder / "val" / "village_nlcd_30m.tif"
    small = [one for one in METHODS[name] if not one.startswith("data.")]
    command = [
        *("map", f"image={image}", f"coarse={coarse}", f"method={name}", *small),
        *(f"out={tmp_path / 'map.tif'}", "windows.chip=48", "windows.overlap=8"),
    ]
    assert main(command) == 0
    assert f"fitted method in {tmp_path / 'map.fitted.safetensors'}\n" in capsys.readouterr().out
    labels = labels_of(tmp_path / "map.tif")
    again = [f"fitted={tmp_path}", f"image={image}", f"out={tmp_path / 'again.tif'}"]
    assert main(["map", *again]) == 0
    assert np.array_equal(labels, labels_of(tmp_path / "again.tif"))
    assert main(command) == 0
    assert "fitted before, by the same command" in capsys.readouterr().out
    assert not list(tmp_path.glob(".*"))


def test_tokens_of_the_cache_serve_maps_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MAPSR_CACHE", str(tmp_path / "tokens"))
    run = tmp_path / "run"
    assert main(["run", *DRAWN, *METHODS["mapsr"], f"output={run}"]) == 0
    image = run / "scenes" / "score_0" / "image.tif"
    for name in ("one", "two"):
        given = [f"fitted={run}", f"image={image}", f"out={tmp_path / name}.tif"]
        assert main(["map", *given, "cache=disk"]) == 0
    entries = list((tmp_path / "tokens").rglob("*.safetensors"))
    assert len(entries) == 4  # the chips, once
    assert np.array_equal(labels_of(tmp_path / "one.tif"), labels_of(tmp_path / "two.tif"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["coarse=IMAGE"], "fitted= and coarse= are both given"),
        (["upsampler=nearest"], "upsampler= has no say with fitted="),
        (["method.clusters=9"], "method.clusters= has no say with fitted="),
        (["legend.coarse=nlcd"], "legend.coarse= has no say with fitted="),
        (["seed=3"], "seed= has no say with fitted="),
        (["refine=none"], "refine= has no say with fitted="),
    ],
)
def test_what_has_no_say_any_more_is_refused(voted, tmp_path, overrides, message, capsys):
    image = voted / "scenes" / "score_0" / "image.tif"
    given = [f"fitted={voted}", f"image={image}", f"out={tmp_path / 'map.tif'}"]
    overrides = [one.replace("IMAGE", str(image)) for one in overrides]
    assert main(["map", *given, *overrides]) == 1
    assert message in capsys.readouterr().err


def test_a_fitted_file_for_more_bands_or_other_values_than_there_are(voted, tmp_path, capsys):
    image = voted / "scenes" / "score_0" / "image.tif"
    with rasterio.open(image) as dataset:
        values, profile = dataset.read(), dataset.profile
    for name, changed, message in (
        ("three", values[:3], "has 3 band(s), expected at least 4"),
        ("wide", values.astype(np.uint16), "holds uint16 values, the others uint8"),
    ):
        path = tmp_path / f"{name}.tif"
        profile.update(count=len(changed), dtype=changed.dtype)
        with rasterio.open(path, "w", **profile) as dataset:
            dataset.write(changed)
        assert main(["map", f"fitted={voted}", f"image={path}", f"out={tmp_path / 'm.tif'}"]) == 1
        assert message in capsys.readouterr().err
