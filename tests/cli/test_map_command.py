"""`mapsr map`: the prompts of a run, applied to an image."""

import json

import numpy as np
import pytest
import rasterio
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from stand_ins import uniform

from mapsr.cli.main import main
from mapsr.geo import Window, read_grid, write_raster
from mapsr.legends import load_legend
from mapsr.methods import MapSR


@pytest.fixture(scope="module")
def run(scene_folder, tmp_path_factory):
    """A finished run on the miniature data set, with several chips a scene."""
    output = tmp_path_factory.mktemp("map") / "run"
    command = [
        "data=geotiff",
        f"data.root={scene_folder}",
        "data.image=*/{scene}_naip.tif",
        "data.coarse=*/{scene}_nlcd_30m.tif",
        "data.truth=*/{scene}_cclc.tif",
        "data.fit=train/*",
        "data.score=val/*",
        "prompts.pixels=1000",
        "prompts.epochs=2",
        "upsampler=bilinear",
        "refine=none",
        "windows.chip=48",
        "windows.overlap=8",
        "logger=none",
    ]
    assert main(["run", *command, f"output={output}"]) == 0
    return output


@pytest.fixture
def image(scene_folder):
    return scene_folder / "val" / "village_naip.tif"


def labels_of(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def mapped(prompts, image, out, *overrides):
    return main(["map", f"prompts={prompts}", f"image={image}", f"out={out}", *overrides])


def spoiled(run, path, vectors=None, **about):
    """A copy of the run's prompt file with other contents."""
    source = run / "prompts.safetensors"
    with safe_open(source, framework="pt") as opened:
        metadata = json.loads(opened.metadata()["mapsr"])
    tensors = load_file(source)
    if vectors is not None:
        tensors["vectors"] = vectors
    save_file(tensors, path, metadata={"mapsr": json.dumps(metadata | about)})
    return path


def test_the_map_is_that_of_the_run(run, image, tmp_path, capsys):
    out = tmp_path / "map.tif"
    assert mapped(run, image, out) == 0
    assert capsys.readouterr().out == f"map in {out}\n"
    assert (labels_of(out) == labels_of(run / "maps" / "village.tif")).all()


def test_the_map_carries_grid_palette_and_tags(run, image, tmp_path):
    out = tmp_path / "map.tif"
    assert mapped(run / "prompts.safetensors", image, out) == 0
    assert read_grid(out) == read_grid(image)
    with rasterio.open(out) as dataset:
        assert (dataset.count, dataset.nodata, dataset.dtypes) == (1, 255, ("uint8",))
        palette = dataset.colormap(1)
        assert [palette[index][:3] for index in range(4)] == list(load_legend("chesapeake4").colors)
        tags = dataset.tags()
    assert tags["MAPSR_CROSSWALK"] == "paraformer"
    assert len(tags["MAPSR_PROMPTS"]) == 64


@pytest.mark.parametrize("size", [(1, 61), (61, 1), (1, 1), (13, 29), (49, 97)])
def test_images_of_any_size(run, image, tmp_path, size):
    part, out = tmp_path / "part.tif", tmp_path / "map.tif"
    with rasterio.open(image) as dataset:
        values = dataset.read()
    values = np.pad(values, ((0, 0), (0, 30), (0, 0)), mode="reflect")[:, : size[0], : size[1]]
    write_raster(part, values, read_grid(image).crop(Window(0, 0, *size)))
    assert mapped(run, part, out) == 0
    assert labels_of(out).shape == size
    assert set(np.unique(labels_of(out))) <= {0, 1, 2, 3}


def test_nodata_stays_nodata(run, image, tmp_path):
    part, out = tmp_path / "part.tif", tmp_path / "map.tif"
    with rasterio.open(image) as dataset:
        values = np.maximum(dataset.read(), 1)
    values[:, :20, :60] = 0
    write_raster(part, values, read_grid(image), nodata=0)
    assert mapped(run, part, out) == 0
    assert ((labels_of(out) == 255) == (values == 0).all(0)).all()


def test_a_map_that_is_there_stays_unless_overwritten(run, image, tmp_path, capsys):
    out = tmp_path / "map.tif"
    out.write_bytes(b"precious")
    assert mapped(run, image, out) == 1
    assert "is there already: choose another out=, or set overwrite=true" in capsys.readouterr().err
    assert out.read_bytes() == b"precious"
    assert mapped(run, image, out, "overwrite=true") == 0
    assert labels_of(out).shape == labels_of(image).shape


def test_the_image_is_never_overwritten(run, image, capsys):
    before = image.read_bytes()
    assert mapped(run, image, image, "overwrite=true") == 1
    assert "is the image itself; choose another path" in capsys.readouterr().err
    assert image.read_bytes() == before


def test_a_failure_in_the_middle_leaves_nothing(run, image, tmp_path, monkeypatch):
    score, calls = MapSR.score, []

    def failing(self, chips, **kind):
        calls.append(chips)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(self, chips, **kind)

    monkeypatch.setattr(MapSR, "score", failing)
    assert mapped(run, image, tmp_path / "map.tif") == 130
    assert len(calls) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run, path: path, "No prompts at "),
        (lambda run, path: path.write_bytes(b"12") and path, "is no readable safetensors file"),
        (
            lambda run, path: save_file({"a": uniform(1, 2)}, path) or path,
            "holds no prompts of mapsr",
        ),
        (lambda run, path: spoiled(run, path, version=99), "has version 99 of the prompt file"),
        (
            lambda run, path: spoiled(run, path, vectors=torch.ones(4, 7)),
            "prompts have 7 channels, the encoder 256: they belong to another backbone",
        ),
        (
            lambda run, path: spoiled(
                run, path, weights={"backbone": {"x": "y"}, "upsampler": None}
            ),
            "The backbone's weights here (None) are not those that the prompts were fitted with",
        ),
    ],
    ids=["absent", "damaged", "foreign", "version", "channels", "weights"],
)
def test_prompts_that_do_not_fit(run, image, tmp_path, capsys, spoil, message):
    prompts, out = spoil(run, tmp_path / "prompts.safetensors"), tmp_path / "map.tif"
    assert mapped(prompts, image, out) == 1
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err
    assert not out.exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["overwrit=true"], "Unknown key 'overwrit'. Did you mean 'overwrite'?"),
        (["image=nowhere.tif"], "Can't read nowhere.tif: there is no such file"),
        (["refine=pape"], "refine=pape: expected one of none, paper, pixels, released."),
    ],
)
def test_bad_overrides_are_named(run, image, tmp_path, capsys, overrides, message):
    assert mapped(run, image, tmp_path / "map.tif", *overrides) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named(capsys):
    assert main(["map", "image=a.tif", "out=b.tif"]) == 1
    assert "prompts has no value: give prompts=" in capsys.readouterr().err
