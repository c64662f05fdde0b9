"""The commands that README and the guides give work as they stand there, one after another."""

from pathlib import Path

import numpy as np
import pytest
from documents import lines
from make_scenes import make_scene_folder

from mapsr.cli.main import main, parser
from mapsr.geo import image_info, read_codes, write_raster
from mapsr.geo.readers import common_grid
from mapsr.weights import REGISTRY

START = ("README.md", "docs/quickstart.md")
COUNTY = ("README.md", "docs/county.md")
RESEARCH = ("README.md", "docs/quickstart.md", "docs/research.md")
SMALL = ["logger=none"]
DRAWN = ["data.height=160", "data.width=176", "data.fit_scenes=1", "data.score_scenes=1"]
QUICK = ["prompts.pixels=4000", "prompts.epochs=2"]


def commands(pages: tuple[str, ...], *start: str) -> list[list[str]]:
    found = lines(*pages, start=("mapsr", *start))
    assert found, start
    return found


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


def test_a_region_is_mapped_and_asked_by_the_commands_given(county: Path) -> None:
    found = [words for words in commands(COUNTY) if words[0] not in ("run", "table", "label")]
    done = set()
    for words in found:
        if words[0] in ("weights", "bench") or any("dinov2" in word for word in words):
            continue  # they need weights
        assert main(words) == 0, words
        done.add(words[0])
    assert done >= {"doctor", "map", "areas", "sample", "change"}
    assert (county / "map.tif").is_file() and (county / "sample.gpkg").is_file()
    assert len(list((county / "county/maps").glob("*.tif"))) == 3
    assert len([words for words in commands(("README.md",), "map")]) == 2


def test_own_data_are_mapped_by_the_commands_given(county: Path) -> None:
    own = [words for words in commands(RESEARCH, "run") if "output=outputs/county" in words]
    assert len(own) == 1  # README and the guide give the same
    assert main([*own[0], *SMALL]) == 0
    assert len(list((county / "outputs/county/maps").glob("*_probe.tif"))) == 3


def test_the_paper_s_configuration_composes(capsys: pytest.CaptureFixture[str]) -> None:
    (paper,) = [words for words in commands(RESEARCH, "run") if "experiment=paper" in words]
    assert main([*paper, "--show"]) == 0
    assert "vit_base_patch14_dinov2" in capsys.readouterr().out
    (fetch,) = commands(RESEARCH, "weights", "fetch")
    assert set(fetch[2:]) <= set(REGISTRY)


def test_drawn_scenes_are_run_shown_compared_and_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    first, *others = commands(RESEARCH, "run")
    first = next(words for words in (first, *others) if "output=outputs/first" in words)
    assert main([*first, *DRAWN, *QUICK, *SMALL]) == 0
    (page,) = commands(START, "page")
    assert main(page) == 0 and (tmp_path / "outputs/first/page.html").is_file()
    for number, words in enumerate(others):
        if words == first or any(word.startswith(("data=", "experiment=")) for word in words):
            continue  # above
        repeated = any(word.startswith("config=") for word in words)
        drawn = [] if repeated else [*DRAWN, *SMALL]
        drawn += [] if repeated or any(word.startswith("method=") for word in words) else QUICK
        apart = "-m" in words or any(word.startswith("output=") for word in words)
        assert main([*words, *drawn, *([] if apart else [f"output=run{number}"])]) == 0, words
    assert (tmp_path / "outputs/second/metrics.json").is_file()  # by config=
    (tmp_path / "outputs/second").rename(tmp_path / "outputs/county")
    capsys.readouterr()
    for words in commands(RESEARCH, "runs"):
        assert main(words) == 0, words
    assert "outputs/county" in capsys.readouterr().out


def test_long_commands_are_there() -> None:
    for words in (*commands(("docs/results.md",), "bench"), *commands(RESEARCH, "table")):
        assert parser().parse_args(words).run
