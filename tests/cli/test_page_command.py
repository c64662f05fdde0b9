"""`mapsr page` of a run and of a map."""

import json
import shutil

import pytest
import stand_ins  # noqa: F401 - one thread
from make_maps import finished_run, fitted

from mapsr.cli.main import main


@pytest.fixture(scope="module")
def run(scene_folder, tmp_path_factory):
    return finished_run(scene_folder, tmp_path_factory.mktemp("page") / "<i>run&")


def test_a_run_is_shown_with_its_scores_settings_and_command(run, capsys):
    assert main(["page", str(run)]) == 0
    assert capsys.readouterr().out == f"page in {run / 'page.html'}\n"
    html = (run / "page.html").read_text()
    for layer in ("image", "product", "map", "truth", "errors"):
        assert f'alt="{layer} of village"' in html
    metrics = json.loads((run / "metrics.json").read_text())
    assert f"Mean IoU {metrics['miou']:.3f}, overall accuracy {metrics['oa']:.3f}" in html
    assert "epochs: 2" in html and "SHA-256" in html
    assert (
        f"mapsr run config='{run}/config.yaml'".replace("&", "&amp;").replace("<i>", "&lt;i&gt;")
        in html
    )
    assert "<i>" not in html
    assert main(["page", str(run), f"out={run}/again.html"]) == 0
    assert (run / "again.html").read_text() == html


def test_a_run_whose_data_are_gone_shows_its_map_alone(run, tmp_path, scene_folder):
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    config = (moved / "config.yaml").read_text().replace(str(scene_folder), "/nowhere")
    (moved / "config.yaml").write_text(config)
    assert main(["page", str(moved)]) == 0
    html = (moved / "page.html").read_text()
    assert "The data are not where they were" in html
    assert 'alt="map of village"' in html and 'alt="image of village"' not in html


def test_what_is_no_run_or_map_is_refused(run, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run, unfinished)
    (unfinished / "metrics.json").unlink()
    (tmp_path / "text.tif").write_text("no raster")
    said = {
        "none": "There is no run or map",
        "empty": "does not hold a readable run",
        "unfinished": "is not finished",
        "text.tif": "Can't read",
    }
    for name, words in said.items():
        assert main(["page", str(tmp_path / name)]) == 1
        assert words in capsys.readouterr().err, name
    assert main(["page", str(run), "imgae=x"]) == 1
    assert "Did you mean 'image'?" in capsys.readouterr().err
    assert main(["page", str(run), "out=page.pdf"]) == 1
    assert ".html" in capsys.readouterr().err


def test_a_map_is_shown_with_what_its_record_knows(scene_folder, tmp_path, capsys):
    out = tmp_path / "map.tif"
    assert fitted(scene_folder, "village", out, "confidence=true") == 0
    assert main(["page", str(out)]) == 0
    html = (tmp_path / "map.html").read_text()
    for layer in ("image", "product", "map", "confidence"):
        assert f'alt="{layer} of map.tif"' in html
    assert "map, ha" in html and "product, ha" in html and "legend.coarse=nlcd" in html
    # without its record it needs to be told, and says so
    (tmp_path / "map_record.json").unlink()
    assert main(["page", str(out)]) == 0
    html = (tmp_path / "map.html").read_text()
    assert "No image is shown" in html and 'alt="image of map.tif"' not in html
    scene = scene_folder / "val" / "village"
    given = [f"image={scene}_naip.tif", f"product={scene}_nlcd_30m.tif"]
    assert main(["page", str(out), *given]) == 0
    html = (tmp_path / "map.html").read_text()
    assert 'alt="image of map.tif"' in html and 'alt="product of map.tif"' in html
    assert "map, ha" in html
