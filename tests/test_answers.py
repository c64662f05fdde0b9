"""Every command and every printed table of docs/answers.md, as they stand there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from make_scenes import image_grid, make_scene_folder
from make_vectors import write_vectors

from mapsr.cli.main import main
from mapsr.geo import window_writer, write_cog
from mapsr.legends import LandClass, Legend

DOCUMENT = (Path(__file__).parents[1] / "docs" / "answers.md").read_text()
COMMANDS = [
    shlex.split(line)[1:] for line in re.findall(r"^ {4}(mapsr [^\n]*)$", DOCUMENT, re.MULTILINE)
]
QUICK = ["upsampler=bilinear", "prompts.pixels=2000", "windows.chip=48", "windows.overlap=8"]
LEGEND = Legend(
    "three",
    "Three classes",
    "drawn",
    (
        LandClass(0, "water", (0, 0, 255)),
        LandClass(1, "forest", (0, 128, 0)),
        LandClass(2, "built", (255, 0, 0)),
    ),
)


def write_map(path, labels):
    """A map of pixels of one hectare."""
    from affine import Affine
    from rasterio.crs import CRS

    from mapsr.geo import Grid

    place = Affine(100, 0, 1_500_000, 0, -100, 1_900_000)
    grid = Grid(CRS.from_epsg(5070), place, *labels.shape)
    with window_writer(path.with_name("plain.tif"), grid, 1, "uint8", 255) as write:
        write(grid.window, labels[None])
    write_cog(path.with_name("plain.tif"), path, tags={}, legend=LEGEND)
    return grid


def labelled(sample, out, forest):
    """Fill in the column truth: the map is right, but that some of the forest is built."""
    meta, _, wkb, values = pyogrio.raw.read(sample)
    fields = list(meta["fields"])
    truth = values[fields.index("stratum")].copy()
    truth[np.flatnonzero(truth == "forest")[:forest]] = "built"
    values[fields.index("truth")] = truth
    pyogrio.raw.write(
        out, wkb, values, fields, driver="GPKG", layer="s", crs=meta["crs"], geometry_type="Point"
    )


def test_every_command_of_the_page_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scenes = make_scene_folder(tmp_path / "made")
    (tmp_path / "tile.tif").symlink_to(scenes / "val" / "village_naip.tif")
    (tmp_path / "nlcd.tif").symlink_to(scenes / "val" / "village_nlcd_30m.tif")
    place = image_grid(2).transform  # the village's
    box = shapely.box(place.c + 5, place.f - 40, place.c + 60, place.f - 5)
    write_vectors(tmp_path / "field.gpkg", "field", "EPSG:26917", [box])
    labels = np.zeros((40, 60), np.uint8)
    labels[20:], labels[20:, 45:], labels[-1] = 1, 2, 255
    grid = write_map(tmp_path / "map.tif", labels)
    labels[20:39, 45:50] = 1
    write_map(tmp_path / "before.tif", labels)
    left, bottom, right, top = grid.bounds
    write_vectors(
        tmp_path / "districts.gpkg", "d", "EPSG:5070", [shapely.box(left, bottom, right, top)]
    )
    blocks = re.findall(r"^```\n(.*?)```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert len(COMMANDS) == 12 and len(blocks) == 1
    shown = {}
    for words in COMMANDS:
        if "truth=labelled.gpkg" in words:
            labelled(tmp_path / "sample.gpkg", tmp_path / "labelled.gpkg", 9)
        fits = words[0] == "map" and any(one.startswith("coarse=") for one in words)
        capsys.readouterr()
        assert main([*words, *(QUICK if fits else [])]) == 0, words
        shown[" ".join(words)] = capsys.readouterr().out
    assert shown["areas map.tif"] == blocks[0]
    assert "95.00" in shown["change map.tif before.tif out=change.tif"]
    assert "300 points; ± is one standard error" in shown["score map.tif truth=labelled.gpkg"]
    assert (tmp_path / "field.tif").is_file() and (tmp_path / "tile_map.gpkg").is_file()
