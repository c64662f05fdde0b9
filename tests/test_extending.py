"""docs/extending.md: its package, installed as it is written there, from the command line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

DOCS = Path(__file__).parents[1] / "docs" / "extending.md"
TABLE = """
title: Colours
caption: Mean colours.
rows:
  - {name: colours, label: Mean colour, overrides: [method=mean_colour]}
"""
BROKEN = "raise ValueError('not today')\n"


def written_files():
    """Path -> content of each file that the page shows."""
    blocks = re.findall(r"`([\w./]+)`:\n\n```\w+\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return dict(blocks)


def install(folder, name, entry, files):
    """Lay a package and its metadata out as an installer does."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[mapsr.plugins]\n{entry}\n")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    files = written_files()
    entry = re.search(r'plugins"\]\n(.+)\n', files.pop("pyproject.toml"))[1].replace('"', "")
    install(folder, "mapsr-colours", entry, files)
    return folder


def mapsr(site, *arguments, cwd):
    paths = [str(site), str(Path(__file__).parents[1])]
    return subprocess.run(
        [sys.executable, "-m", "mapsr", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_example_runs_maps_and_stands_in_a_table(site, scene_folder, tmp_path):
    data = [
        *("data=geotiff", f"data.root={scene_folder}", "data.image=*/{scene}_naip.tif"),
        *("data.coarse=*/{scene}_nlcd_30m.tif", "data.truth=*/{scene}_cclc.tif"),
        *("data.fit=train/*", "data.score=val/*", "logger=none", "windows.chip=64"),
        "windows.overlap=16",
    ]
    choice = ["method=mean_colour", "method.chips=null"]
    done = mapsr(site, "run", *data, *choice, "output=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    image = scene_folder / "val" / "village_naip.tif"
    given = ["fitted=run", f"image={image}", "out=map.tif"]
    done = mapsr(site, "map", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with (
        rasterio.open(tmp_path / "run" / "maps" / "village.tif") as one,
        rasterio.open(tmp_path / "map.tif") as other,
    ):
        labels = one.read(1)
        assert np.array_equal(labels, other.read(1)) and len(np.unique(labels)) > 2
    (tmp_path / "colours.yaml").write_text(TABLE)
    done = mapsr(site, "table", "colours.yaml", *data, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| Mean colour |" in done.stdout


def test_near_matches_know_plug_ins(site, tmp_path):
    done = mapsr(site, "run", "method=mean_color", cwd=tmp_path)
    assert done.returncode == 1
    assert "Did you mean 'mean_colour'?" in done.stderr and "Traceback" not in done.stderr


def test_a_plug_in_that_fails_is_named_and_the_rest_works(site, tmp_path):
    both = tmp_path / "site"
    install(both, "mapsr-broken", "broken = mapsr_broken", {"mapsr_broken.py": BROKEN})
    done = mapsr(both, "run", "--show", cwd=tmp_path)
    assert done.returncode == 0 and "kind: mapsr" in done.stdout
    told = "plug-in 'broken' (mapsr_broken) can't be imported: ValueError: not today"
    assert told in done.stderr
    done = mapsr(both, "run", "method=broken", cwd=tmp_path)
    assert done.returncode == 1
    assert "The plug-in 'broken' can't be imported: ValueError: not today." in done.stderr


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("colours = mapsr_second", "2 installed plug-ins are called 'colours'"),
        (
            "second = mapsr_second",
            "brings method.kind=kmeans_voting, which mapsr.methods.kmeans has",
        ),
    ],
)
def test_two_of_one_name_are_an_error(site, tmp_path, entry, message):
    second = (
        "from dataclasses import dataclass\nfrom mapsr.settings import choice\n\n"
        "@choice('method', 'kmeans_voting')\n@dataclass(frozen=True)\nclass Second:\n    pass\n"
    )
    other = tmp_path / "site"
    install(other, "mapsr-second", entry, {"mapsr_second.py": second})
    paths = os.pathsep.join([str(other), str(site)])
    done = mapsr(paths, "run", "--show", cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr
