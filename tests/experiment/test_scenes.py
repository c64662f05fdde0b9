import shutil

import pytest

from mapsr.cli.compose import compose_run
from mapsr.errors import DataError
from mapsr.experiment.scenes import legends_of, scenes_of, source_of


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


def test_figures_of_three_products_read_them_as_the_run_did():
    # a figure once made its own reader, which knew the first product alone
    settings = compose_run(["data=poland", "data.root=x"])
    source = source_of(settings, legends_of(settings)).labels
    assert [one.source.name for one in source.agree] == ["esri_10m_2020", "from_glc10"]
    assert (source.coarse.source.name, settings.data.bands) == ("esa_worldcover", 3)
