"""Every command that the README gives works as it stands there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from make_scenes import make_scene_folder

from mapsr.cli.main import main, parser
from mapsr.geo import image_info, read_codes, write_raster
from mapsr.geo.readers import common_grid
from mapsr.weights import REGISTRY

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^ {4}((?:make|mapsr) [^\n]*)$", re.MULTILINE)
COMMANDS = [
    shlex.split(line, comments=True) for line in BLOCK.findall((ROOT / "README.md").read_text())
]
SMALL = ["logger=none"]


def commands(*start: str) -> list[list[str]]:
    found = [words[1:] for words in COMMANDS if tuple(words[: len(start)]) == start]
    assert found, start
    return found


def test_make_targets_exist() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for (target,) in commands("make"):
        assert target in targets


def write_union(paths: list[Path], path: Path) -> None:
    """One raster over several that lie on the same cells."""
    infos = [image_info(one) for one in paths]
    grid = common_grid(infos)
    codes = np.zeros((grid.height, grid.width), np.uint8)
    for one in paths:
        codes = np.maximum(codes, read_codes(one, grid, grid.window).clip(min=0).astype(np.uint8))
    write_raster(path, codes, grid, nodata=0)


@pytest.fixture
def county(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images beside each other, a product for each and one of the whole county."""
    scenes = make_scene_folder(tmp_path / "made")
    for kind, folder in (("naip", "images"), ("nlcd_30m", "nlcd")):
        (tmp_path / "county" / folder).mkdir(parents=True)
        for path in scenes.glob(f"*/*_{kind}.tif"):
            scene = path.name.removesuffix(f"_{kind}.tif")
            (tmp_path / "county" / folder / f"{scene}.tif").symlink_to(path)
    write_union(sorted(scenes.glob("*/*_nlcd_30m.tif")), tmp_path / "county" / "nlcd.tif")
    image = next((tmp_path / "county" / "images").iterdir())
    (tmp_path / "elsewhere.tif").symlink_to(image.resolve())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_region_is_mapped_by_the_commands_given(county: Path) -> None:
    doctor, (fit, apply) = commands("mapsr", "doctor"), commands("mapsr", "map")[:2]
    for words in (*(words for words in doctor if len(words) > 1), fit, apply):
        assert main(words) == 0, words
    assert (county / "map.tif").is_file()
    assert len(list((county / "county/maps").glob("*.tif"))) == 3


def test_own_data_are_mapped_by_the_commands_given(county: Path) -> None:
    own = [words for words in commands("mapsr", "run") if "output=outputs/county" in words]
    assert len(own) == 1
    assert main([*own[0], *SMALL]) == 0
    assert len(list((county / "outputs/county/maps").glob("*_probe.tif"))) == 3


def test_the_paper_s_configuration_composes(capsys: pytest.CaptureFixture[str]) -> None:
    (paper,) = [words for words in commands("mapsr", "run") if "experiment=paper" in words]
    assert main([*paper, "--show"]) == 0
    assert "vit_base_patch14_dinov2" in capsys.readouterr().out
    (fetch,) = commands("mapsr", "weights", "fetch")
    assert set(fetch[2:]) <= set(REGISTRY)


def test_other_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["data.height=200", "data.width=232", "data.fit_scenes=1", "data.score_scenes=1"]
    for number, words in enumerate(commands("mapsr", "run")):
        if any(word.startswith(("data=", "experiment=")) for word in words):
            continue  # above
        folder = [] if "-m" in words else [f"output=run{number}"]
        assert main([*words, *small, *SMALL, *folder]) == 0


def test_long_commands_are_there() -> None:
    for words in (*commands("mapsr", "bench"), *commands("mapsr", "table")):
        assert parser().parse_args(words).run
