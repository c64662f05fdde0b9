import shutil
from dataclasses import replace

import pytest
import rasterio
import rasterio.windows
from affine import Affine

from mapsr.cli.compose import compose_run
from mapsr.errors import DataError
from mapsr.experiment.scenes import legends_of, scenes_of, source_of
from mapsr.geo import Window, read_grid, write_raster


def scenes(root, *overrides):
    settings = compose_run(
        [
            "data=geotiff",
            f"data.root={root}",
            "data.image=*/{scene}_naip.tif",
            "data.coarse=*/{scene}_nlcd_30m.tif",
            "data.truth=*/{scene}_cclc.tif",
            "data.fit=train/*",
            "data.score=val/*",
            *overrides,
        ]
    )
    return scenes_of(settings, root / "drawn")


def link_a_train_scene_into_val(root):
    for kind in ("naip", "nlcd_30m", "cclc"):
        (root / "val" / f"again_{kind}.tif").symlink_to(root / "train" / f"field_{kind}.tif")


def test_a_scored_scene_hidden_behind_a_link_is_still_the_fitted_one(scene_folder, tmp_path):
    root = tmp_path / "linked"
    shutil.copytree(scene_folder, root)
    assert {scene.name for scene in scenes(root).score} == {"village"}
    link_a_train_scene_into_val(root)
    with pytest.raises(DataError, match="both fitted on and scored"):
        scenes(root)
    assert len(scenes(root, "transductive=true").score) == 2
    with pytest.raises(DataError, match="would give its truth to the method"):
        scenes(root, "prompts=truth", "transductive=true")


KINDS = ("naip", "nlcd_30m", "cclc")


def crop(source, target, window):
    """Write a part of an image under another name."""
    with rasterio.open(source) as dataset:
        values = dataset.read(window=rasterio.windows.Window(*window))
    grid = read_grid(source).crop(Window(window[1], window[0], window[3], window[2]))
    write_raster(target, values, grid)


@pytest.mark.parametrize("way", ["hard link", "copy", "crop"])
def test_a_scored_scene_by_another_name_is_still_the_fitted_one(scene_folder, tmp_path, way):
    root = tmp_path / "again"
    shutil.copytree(scene_folder, root)
    for kind in KINDS:
        source, target = root / "train" / f"field_{kind}.tif", root / "val" / f"other_{kind}.tif"
        if way == "hard link":
            target.hardlink_to(source)
        elif kind == "naip" and way == "crop":
            crop(source, target, (50, 10, 40, 30))
        else:
            shutil.copy(source, target)
    with pytest.raises(
        DataError, match=r"show the same ground, which is both fitted on and scored"
    ):
        scenes(root)
    assert len(scenes(root, "transductive=true").score) == 2
    with pytest.raises(DataError, match="would give its truth to the method"):
        scenes(root, "prompts=truth", "transductive=true")


def test_neighbouring_tiles_that_share_a_margin_are_told_and_not_refused(
    scene_folder, tmp_path, caplog
):
    root = tmp_path / "margin"
    shutil.copytree(scene_folder, root)
    with rasterio.open(root / "train" / "field_naip.tif") as dataset:
        values = dataset.read()
    grid = read_grid(root / "train" / "field_naip.tif")
    write_raster(
        root / "val" / "next_naip.tif",
        values,
        replace(grid, transform=grid.transform @ Affine.translation(99, 0)),
    )
    for kind in KINDS[1:]:
        shutil.copy(root / "train" / f"field_{kind}.tif", root / "val" / f"next_{kind}.tif")
    assert len(scenes(root).score) == 2
    assert "share 10 % of their ground" in caplog.text


@pytest.mark.parametrize("way", ["file", "copy", "written again"])
def test_the_truth_is_refused_as_the_product(scene_folder, tmp_path, way):
    root = tmp_path / "truth"
    shutil.copytree(scene_folder, root)
    product, truth = (root / "val" / f"village_{kind}.tif" for kind in KINDS[1:])
    product.unlink()
    if way == "file":
        product.hardlink_to(truth)
    elif way == "copy":
        shutil.copy(truth, product)
    else:
        with rasterio.open(truth) as dataset:
            profile = dataset.profile | {"compress": "lzw", "driver": "GTiff"}
            values = dataset.read()
        with rasterio.open(product, "w", **profile) as dataset:
            dataset.write(values)
    for more in ((), ("transductive=true",)):
        with pytest.raises(DataError, match="is the truth of the scored scene 'village'"):
            scenes(root, *more)


def test_figures_of_three_products_read_them_as_the_run_did():
    # a figure once made its own reader, which knew the first product alone
    settings = compose_run(["data=poland", "data.root=x"])
    source = source_of(settings, legends_of(settings)).labels
    assert [one.source.name for one in source.agree] == ["esri_10m_2020", "from_glc10"]
    assert (source.coarse.source.name, settings.data.bands) == ("esa_worldcover", 3)
