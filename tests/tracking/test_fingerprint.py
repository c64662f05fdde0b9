"""What tells two runs apart: what was read, by its content, wherever it lies."""

import shutil

import pytest

from mapsr import weights
from mapsr.cli.compose import compose_run
from mapsr.data import Scenes
from mapsr.legends import load_legend
from mapsr.tracking import fingerprint_hash
from mapsr.weights import Weights

LEGEND = """
name: mine
title: Mine
source: a test
nodata: [0]
classes:
  - {code: 1, name: water, color: [0, 0, 255], target: water}
  - {code: 2, name: wood, color: [0, 99, 0], target: tree canopy}
  - {code: 3, name: grass, color: [0, 255, 0], target: low vegetation}
  - {code: 4, name: town, color: [255, 0, 0], target: impervious}
"""


def of(*overrides):
    return fingerprint_hash(compose_run(["logger=none", *overrides]).fingerprint())


def test_a_legend_of_ones_own_counts_by_its_content(tmp_path):
    one, other = tmp_path / "one" / "mine.yaml", tmp_path / "other" / "mine.yaml"
    for path in (one, other):
        path.parent.mkdir()
        path.write_text(LEGEND)
    assert load_legend(str(one)).name == "mine"
    before = of(f"legend.coarse={one}")
    assert of(f"legend.coarse={other}") == before != of()
    one.write_text(LEGEND.replace("code: 4", "code: 5"))
    assert of(f"legend.coarse={one}") != before


@pytest.mark.parametrize("key", ["legend.target", "legend.crosswalk", "legend.soft"])
def test_every_file_of_the_legends_counts(tmp_path, key):
    path = tmp_path / "mine.yaml"
    path.write_text(LEGEND)
    before = of(f"{key}={path}")
    path.write_text(LEGEND + "# edited\n")
    assert of(f"{key}={path}") != before


def test_further_products_legends_count(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(LEGEND)
    settings = compose_run(
        ["data=geotiff", "data.root=x", "data.table=x.csv", f"data.agree=[nlcd,{path}]"]
    )
    none = Scenes((), ())
    before = fingerprint_hash(settings.fingerprint(none))
    path.write_text(LEGEND + "# edited\n")
    assert fingerprint_hash(settings.fingerprint(none)) != before


def test_weights_without_a_published_hash_count_by_their_file(tmp_path, monkeypatch):
    one = Weights("mine", "mine.safetensors", "https://x.org/a", None, None, "MIT", "x.org", 1)
    monkeypatch.setitem(weights.REGISTRY, "mine", one)
    hashes = set()
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "mine.safetensors").write_bytes(name.encode())
        hashes.add(of("backbone=vit_tiny", "backbone.weights=mine", f"weights_folder={folder}"))
    assert len(hashes) == 2


def test_weights_with_a_published_hash_count_by_their_name(tmp_path):
    hashes = set()
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "vit_tiny.safetensors").write_bytes(name.encode())  # refused when it is loaded
        hashes.add(of("backbone=vit_tiny", f"weights_folder={folder}"))
    assert len(hashes) == 1


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "transductive=true",
        "compute.precision=bf16-mixed",
        "prior=product",
        "legend.soft=robinson",
        "windows.chip=224",
    ],
)
def test_what_results_depend_on_changes_it(override):
    assert of(override) != of()


@pytest.mark.parametrize("override", ["output=elsewhere", "compute.device=cpu", "engine.workers=1"])
def test_what_they_do_not_depend_on_leaves_it(override):
    assert of(override) == of()


def test_the_recipe_counts_for_networks_alone():
    assert of("recipe=released") == of()
    assert of("method=unetformer", "recipe=released") != of("method=unetformer")


def test_both_ends_of_a_file_count(scene_folder, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(scene_folder, root)
    data = [
        *("data=geotiff", f"data.root={root}", "data.image=*/{scene}_naip.tif"),
        *("data.coarse=*/{scene}_nlcd_30m.tif", "data.truth=*/{scene}_cclc.tif"),
        *("data.fit=train/*", "data.score=val/*"),
    ]
    for kind in ("naip", "nlcd_30m", "cclc"):
        with (root / "val" / f"village_{kind}.tif").open("ab") as file:
            file.write(bytes(200_000))  # longer than what is read of either end
    seen = {of(*data)}
    for kind in ("naip", "nlcd_30m", "cclc"):
        path = root / "val" / f"village_{kind}.tif"
        content = bytearray(path.read_bytes())
        for place in (8, -1):
            content[place] ^= 1
            path.write_bytes(content)
            seen.add(of(*data))
    assert len(seen) == 7
