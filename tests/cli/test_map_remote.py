"""`mapsr map` of what lies on the network, and the STAC item beside a map."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pystac
import pytest
import rasterio
from make_maps import QUICK_FIT, fitted, labels_of, mapped
from make_stac import catalogue, item
from pystac.extensions.classification import ClassificationExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from range_server import QUIET, serving

from mapsr.cli.main import main
from mapsr.geo.network import OPTIONS
from mapsr.region.answers import read_record

DOCUMENT = (Path(__file__).parents[2] / "docs" / "cloud.md").read_text()
SECRET = "S3CR3T-SIGNATURE"


@pytest.fixture(scope="module")
def folder(scene_folder, tmp_path_factory):
    """What a server serves: the scene called village, and a map of it made of local files."""
    folder = tmp_path_factory.mktemp("remote")
    for name in ("naip", "nlcd_30m", "cclc"):
        shutil.copy(scene_folder / "val" / f"village_{name}.tif", folder)
    item(folder, "village", "./village_naip.tif")
    assert fitted(scene_folder, "village", folder / "local.tif", "confidence=true") == 0
    return folder


@pytest.fixture
def server(folder, monkeypatch):
    for name in ("MAPSR_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    with serving(folder) as running:
        yield running


@pytest.fixture
def method(folder):
    return folder / "local.fitted.safetensors"


def signed(server, name, signature="1"):
    return f"{server.url}/{name}?sig={SECRET}{signature}&se=2026"


def fit_and_map(server, out, *overrides, signature="1"):
    words = [
        f"image={signed(server, 'village_naip.tif', signature)}",
        f"coarse={signed(server, 'village_nlcd_30m.tif', signature)}",
        *(f"out={out}", "confidence=true", "stac=true", *overrides),
    ]
    return main(["-v", "map", *QUICK_FIT, *words])


def test_the_map_of_addresses_is_that_of_files_and_nothing_written_holds_a_signature(
    server, folder, tmp_path, capsys
):
    server.token = SECRET
    out = tmp_path / "out" / "map.tif"
    assert fit_and_map(server, out) == 0
    for kind in ("", "_confidence"):
        with (
            rasterio.open(folder / f"local{kind}.tif") as one,
            rasterio.open(out.with_name(f"map{kind}.tif")) as other,
        ):
            assert one.read().tobytes() == other.read().tobytes()
    # the same command goes on with another signature, and knows the map
    assert fit_and_map(server, out, signature="2") == 0
    shown = capsys.readouterr()
    assert "made before, by the same command" in shown.out
    assert SECRET not in shown.out + shown.err
    record = read_record(out.with_name("map_record.json"))
    (image,) = record["inputs"]["images"]
    assert image["path"] == f"{server.url}/village_naip.tif?sig=***&se=***"
    assert image["bytes"] == (folder / "village_naip.tif").stat().st_size and image["version"]
    assert record["settings"]["image"] == image["path"]
    files = [path for path in out.parent.rglob("*") if path.is_file()]
    assert {"map.tif", "map.json", "map_log.txt", "map.fitted.safetensors"} <= {
        path.name for path in files
    }
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path
    # a content that changed makes another map
    changed = folder / "village_naip.tif"
    before = changed.read_bytes()
    try:
        with rasterio.open(changed, "r+") as dataset:
            dataset.update_tags(CHANGED="yes")
        assert fit_and_map(server, out) == 1
        assert "village_naip.tif?sig=***&se=*** has changed" in capsys.readouterr().err
    finally:
        changed.write_bytes(before)


def test_an_item_is_mapped_and_the_maps_own_item_is_valid(server, folder, method, tmp_path):
    image = f"{server.url}/only.json"
    assert mapped(method, image, tmp_path, "stac=true", "mmu=4px", "vectors=true") == 0
    out = tmp_path / "village.tif"  # called as the item, in a folder that is there
    assert (labels_of(out) == labels_of(folder / "local.tif")).all()
    found = pystac.Item.from_file(tmp_path / "village.json")
    # the schemas of the core lie in pystac itself
    JsonSchemaSTACValidator().validate_core(found.to_dict(), pystac.STACObjectType.ITEM, "1.1.0")
    assert str(found.datetime) == "2021-06-01 00:00:00+00:00"
    assert set(found.assets) == {"map", "mmu", "vectors", "record"}
    for asset in found.get_assets().values():
        assert asset.href == f"./{asset.href[2:]}" and (tmp_path / asset.href).is_file()
    titles = [one.title for one in ClassificationExtension.ext(found.assets["map"]).classes]
    with rasterio.open(out) as dataset:
        assert titles[:-1] == [dataset.tags(1)[f"CLASS_{n}"] for n in range(len(titles) - 1)]
    assert main(["page", str(out)]) == 0  # the record says where the image lies
    assert "No image is shown" not in (tmp_path / "village.html").read_text()
    assert json.loads((tmp_path / "village_record.json").read_text())["derived"]["stac"] == {
        "file": str(tmp_path / "village.json")
    }


def test_an_asset_is_chosen_by_name(server, folder, method, tmp_path, capsys):
    image, out = folder / "village.json", tmp_path / "map.tif"
    assert mapped(method, image, out) == 1
    assert "take image_asset=NAME" in capsys.readouterr().err
    assert mapped(method, image, out, "image_asset=image") == 0
    assert (labels_of(out) == labels_of(folder / "local.tif")).all()
    assert mapped(method, folder / "village_naip.tif", out, "image_asset=image") == 1
    assert "chooses an asset of a STAC item, and image=" in capsys.readouterr().err
    # the page of a mosaic of items said that no image is there
    assert mapped(method, image, tmp_path / "all.tif", "image_asset=image", "mosaic=true") == 0
    assert main(["page", str(tmp_path / "all.tif")]) == 0
    assert "No image is shown" not in (tmp_path / "all.html").read_text()


def test_a_list_takes_addresses(server, folder, method, tmp_path, capsys):
    server.token = SECRET
    table = tmp_path / "list.csv"
    table.write_text(f'image_fn\n"{signed(server, "village_naip.tif")}"\n')
    assert mapped(method, table, tmp_path / "maps") == 0
    assert (
        labels_of(tmp_path / "maps" / "village_naip.tif") == labels_of(folder / "local.tif")
    ).all()
    assert SECRET not in "".join(capsys.readouterr())


def test_a_run_takes_a_list_of_addresses(server, folder, tmp_path, capsys):
    server.token = SECRET
    names = ("village_naip.tif", "village_nlcd_30m.tif", "village_cclc.tif")
    cells = ",".join(f'"{signed(server, name)}"' for name in names)
    (tmp_path / "list.csv").write_text(f"image_fn,label_fn,truth_fn\n{cells}\n")
    words = [f"data.root={tmp_path}", "data.table=list.csv", "transductive=true", "logger=none"]
    words += [f"output={tmp_path / 'run'}", "legend.coarse=nlcd"]
    for _ in range(2):
        assert main(["run", "data=geotiff", *QUICK_FIT, *words]) == 0
    assert "finished" in "".join(capsys.readouterr())
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert [Path(one["path"]).name.partition("?")[0] for one in record["inputs"]] == list(names)
    assert all(len(one["state"]) == 2 for one in record["inputs"])
    for path in (tmp_path / "run").rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path


def test_a_window_of_an_address_fetches_a_part(server, folder, method, tmp_path):
    import numpy as np

    from mapsr.geo import read_grid, write_raster

    small = read_grid(folder / "village_naip.tif")
    with rasterio.open(folder / "village_naip.tif") as dataset:
        values = dataset.read()
    grid = small.crop(type(small.window)(0, 0, 1030, 1600))
    noise = np.random.default_rng(0).integers(0, 3, (4, 1030, 1600), np.uint8)
    large = folder / "large.tif"
    write_raster(large, np.tile(values, (1, 15, 15))[:, :1030, :1600].clip(0, 250) + noise, grid)
    words = ("window=760,760,48,48",)
    assert mapped(method, large, tmp_path / "a.tif", *words) == 0
    assert mapped(method, f"{server.url}/large.tif", tmp_path / "b.tif", *words) == 0
    assert (labels_of(tmp_path / "a.tif") == labels_of(tmp_path / "b.tif")).all()
    assert server.sent["/large.tif"] < 0.25 * large.stat().st_size


@pytest.mark.parametrize("offline", [False, True])
def test_what_is_not_there_is_one_sentence(server, method, tmp_path, capsys, monkeypatch, offline):
    if offline:
        monkeypatch.setenv("MAPSR_OFFLINE", "1")
    wanted = "not to be used" if offline else "no such file on the server; check the address"
    assert mapped(method, signed(server, "none.tif"), tmp_path / "map.tif") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: Can't read {server.url}/none.tif?sig=***") and wanted in line
    assert (server.asked == 0) == offline and not list(tmp_path.iterdir())


def test_maps_at_addresses_are_asked(server, folder, tmp_path, capsys):
    server.token = SECRET
    there, truth = signed(server, "local.tif"), signed(server, "village_cclc.tif")
    records = []
    for name in (there, str(folder / "local.tif")):
        assert main(["areas", name, "--json"]) == 0
        records.append(json.loads(capsys.readouterr().out))
        assert main(["score", name, f"truth={truth}", "legend=chesapeake_1m", "--json"]) == 0
        records.append(json.loads(capsys.readouterr().out))
        change = f"out={tmp_path / 'change.tif'}"
        product = str(folder / "village_nlcd_30m.tif")
        words = [name, product, "legend=nlcd", change, "overwrite=true", "--json"]
        assert main(["change", *words]) == 0
        records.append(json.loads(capsys.readouterr().out))
    assert SECRET not in json.dumps(records)
    for one, other in zip(records[:3], records[3:], strict=True):
        for key in ("areas", "scores", "changes"):
            assert one.get(key) == other.get(key)


def test_doctor_looks_at_addresses(server, folder, capsys):
    server.token = SECRET
    words = [signed(server, "village_naip.tif"), signed(server, "village_nlcd_30m.tif")]
    assert main(["doctor", *words, "legend.coarse=nlcd", "--no-timing"]) == 0
    shown = capsys.readouterr()
    assert f"{server.url}/village_naip.tif?sig=***" in shown.out
    assert SECRET not in shown.out + shown.err


def test_another_item_of_that_name_is_not_replaced(folder, method, tmp_path, capsys):
    (tmp_path / "map.json").write_text("{}")
    image = folder / "village_naip.tif"
    assert mapped(method, image, tmp_path / "map.tif", "stac=true") == 1
    assert "map.json, which is written beside" in capsys.readouterr().err
    assert (tmp_path / "map.json").read_text() == "{}"


def test_every_command_of_the_page_works_and_it_says_every_setting(
    server, folder, tmp_path, monkeypatch, capsys
):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    (folder / "landcover").mkdir(exist_ok=True)
    shutil.copy(folder / "village_nlcd_30m.tif", folder / "landcover" / "nlcd.tif")
    shutil.copy(folder / "village_nlcd_30m.tif", folder / "nlcd.tif")
    shutil.copy(folder / "village_naip.tif", folder / "tile.tif")
    shutil.copy(folder / "village.json", folder / "item.json")
    catalogue(tmp_path, ["village"])
    shutil.copy(folder / "village_naip.tif", tmp_path / "village" / "village.tif")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^ {4}(mapsr [^\n]*)$", DOCUMENT, re.MULTILINE)
    assert len(commands) == 6
    for command in commands:
        words = shlex.split(command.replace("https://data.example.org", server.url))[1:]
        quick = QUICK_FIT if words[0] == "map" and "legend.coarse=nlcd" in words else ()
        assert main([*words, *quick]) == 0, command
    wanted = {"tile_map.tif", "tile_map.json", "part.tif", "item_map.tif", "maps"}
    assert wanted <= {path.name for path in tmp_path.iterdir()}
    rows = re.findall(r"^\| `([A-Z_]+)` \| (\S+) \|", DOCUMENT, re.MULTILINE)
    assert dict(rows) == OPTIONS


def test_a_preview_of_a_signed_address_lost_its_signature(server, tmp_path, capsys):
    server.token = f"sig={SECRET}1"
    out = tmp_path / "look.tif"
    words = [signed(server, "village_naip.tif"), signed(server, "village_nlcd_30m.tif")]
    assert main(["preview", *words, *QUICK_FIT, f"out={out}"]) == 0, capsys.readouterr().err
    assert out.is_file()
    told = "".join(capsys.readouterr())
    assert SECRET not in told and "to write and measure the map comes on top" not in told


def test_a_preview_of_a_stac_item_kept_the_name_of_its_asset(server, folder, tmp_path, capsys):
    out = tmp_path / "look.tif"
    words = [f"image={server.url}/village.json", "image_asset=image"]
    coarse = f"coarse={server.url}/village_nlcd_30m.tif"
    assert main(["preview", *words, coarse, *QUICK_FIT, f"out={out}"]) == 0, capsys.readouterr().err
    assert out.is_file()
