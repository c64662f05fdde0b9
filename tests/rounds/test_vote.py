"""`mapsr label` without rounds: votes into a run folder, resumable, and known again."""

import json
import shutil

import numpy as np
import pytest
from make_places import HEIGHT, LEGEND, WIDTH, grid_at, make_place

from mapsr.cli.main import main
from mapsr.geo import Window, read_tags, read_values, write_raster
from mapsr.labelling.packing import pack, unpack
from mapsr.labelling.truth import Blocks
from mapsr.labelling.units import Ballot, add_up
from mapsr.legends import load_legend
from mapsr.mapping.blend import UnitResult

WHOLE = Window(0, 0, HEIGHT, WIDTH)
CODES = [
    load_legend("chesapeake4").index(name)
    for name in ("impervious", "water", "tree canopy", "low vegetation")
]


def label(registry, output, *more, truth=True) -> int:
    folder = registry.parent
    given = [f"registry={registry}", f"image={folder}/image_*.tif", f"output={output}"]
    if truth:
        given += [f"truth={folder}/truth_*.tif", f"truth_legend={folder}/truth.yaml"]
    return main(["label", *given, "engine.workers=1", "expansion.block_px=10", *more])


def plane(path) -> np.ndarray:
    return read_values(path, WHOLE)[0]


def said(folder, name) -> np.ndarray:
    """What a product of the place says, as class indices; 255 nothing."""
    codes = plane(folder / f"{name}_0.tif")
    return np.array([255, *CODES], np.uint8)[codes]


def test_votes_fill_the_run_folder(place, tmp_path, capsys):
    """Both products have to agree: .2 and .1 reach .3, neither does alone."""
    assert label(place, tmp_path / "run", "patch=64") == 0
    labels = tmp_path / "run" / "labels" / "round_0"
    one, two = said(place.parent, "one"), said(place.parent, "two")
    want = np.where(one == two, one, 255)
    found = plane(labels / "image_0.tif")
    assert (found == want).all()
    trusted = want != 255
    assert (plane(labels / "image_0_confidence.tif") == 3 * trusted).all()
    assert (plane(labels / "image_0_provenance.tif") == 3 * trusted).all()
    assert (plane(labels / "image_0_round.tif") == np.where(trusted, 0, 255)).all()
    assert read_tags(labels / "image_0.tif")["MAPSR_LABELS"] == "labels"
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    truth = np.array([255, *CODES])[plane(place.parent / "truth_0.tif")]
    [first] = metrics["rounds"]
    assert first["trusted"] == first["ratio"] == trusted.mean()
    assert first["oa_trusted"] == (want == truth)[trusted].mean()
    assert metrics["final"]["oa"] == (want == truth).mean()
    parts = [first["validation"], first["test"]]
    assert sum(part["pixels"] for part in parts) == HEIGHT * WIDTH
    assert metrics["patches"] == 4
    assert metrics["seconds"]["total"] > 0
    shown = capsys.readouterr().out
    assert f"0        {trusted.mean():.3f}" in shown
    assert (tmp_path / "run" / "products.csv").read_text().startswith("product,covered,votes")


def test_a_killed_vote_goes_on_to_the_same_bytes(place, tmp_path, monkeypatch):
    assert label(place, tmp_path / "whole", "patch=32") == 0
    asked = []
    call = Ballot.__call__

    def counted(self, task):
        if len(asked) == 5:
            asked.append(None)
            raise KeyboardInterrupt
        asked.append(task.unit.number)
        return call(self, task)

    monkeypatch.setattr(Ballot, "__call__", counted)
    assert label(place, tmp_path / "killed", "patch=32") == 130
    kept = len(list((tmp_path / "killed").rglob("unit-*.npz")))
    assert kept > 0
    assert not (tmp_path / "killed" / "metrics.json").exists()
    before = len(asked)
    assert label(place, tmp_path / "killed", "patch=32") == 0
    assert len(asked) - before == 3 * 4 - kept
    files = sorted((tmp_path / "whole" / "labels").rglob("*.tif"))
    assert len(files) == 4
    for file in files:
        other = tmp_path / "killed" / file.relative_to(tmp_path / "whole")
        assert file.read_bytes() == other.read_bytes(), file.name


def test_pixels_without_an_image_were_labelled(tmp_path):
    """A collar of nodata around the image gets no label, and counts nowhere."""
    registry = make_place(tmp_path)
    path = tmp_path / "image_0.tif"
    values = read_values(path, WHOLE)
    values[:, :20] = values[:, :, 90:] = 0
    write_raster(path, values, grid_at(0), nodata=0)
    assert label(registry, tmp_path / "run", "patch=64") == 0
    labels = tmp_path / "run" / "labels" / "round_0"
    imaged = np.zeros((HEIGHT, WIDTH), bool)
    imaged[20:, :90] = True
    one, two = said(tmp_path, "one"), said(tmp_path, "two")
    want = np.where((one == two) & imaged, one, 255)
    for name, none in (("", 255), ("_confidence", 0), ("_provenance", 0), ("_round", 255)):
        found = plane(labels / f"image_0{name}.tif")
        assert ((found == none) == (want == 255)).all()
    [first] = json.loads((tmp_path / "run" / "metrics.json").read_text())["rounds"]
    assert first["trusted"] == (want[imaged] != 255).mean()


def test_the_size_of_patches_changes_no_label(place, tmp_path):
    for patch in (16, 200):
        assert label(place, tmp_path / str(patch), f"patch={patch}") == 0
    metrics = [json.loads((tmp_path / n / "metrics.json").read_text()) for n in ("16", "200")]
    assert metrics[0]["rounds"] == metrics[1]["rounds"]
    files = [tmp_path / n / "labels" / "round_0" / "image_0_provenance.tif" for n in ("16", "200")]
    assert (plane(files[0]) == plane(files[1])).all()


def test_what_changed_since_is_said(tmp_path, capsys):
    registry = make_place(tmp_path)
    assert label(registry, tmp_path / "run") == 0
    assert label(registry, tmp_path / "run") == 0
    assert "finished before" in capsys.readouterr().out
    assert label(registry, tmp_path / "run", "voting.base_votes=2") == 1
    assert "voting.base_votes is 2, was 3" in capsys.readouterr().err
    registry.write_text(registry.read_text().replace("weight: 0.2", "weight: 0.4"))
    assert label(registry, tmp_path / "run") == 1
    assert "other settings: weights" in capsys.readouterr().err
    registry.write_text(registry.read_text().replace("weight: 0.4", "weight: 0.2"))
    product = tmp_path / "one_0.tif"
    write_raster(product, np.ones((HEIGHT, WIDTH), np.uint8), grid_at(0))
    assert label(registry, tmp_path / "run") == 1
    assert "one_0.tif has changed since then" in capsys.readouterr().err
    assert label(registry, tmp_path / "run", "overwrite=true") == 0
    trusted = json.loads((tmp_path / "run" / "metrics.json").read_text())["rounds"][0]
    assert trusted["trusted_by_class"]["water"] == 0


def test_votes_of_an_earlier_run_are_taken_over(place, tmp_path, monkeypatch, capsys):
    assert label(place, tmp_path / "one") == 0
    monkeypatch.setattr(Ballot, "__call__", lambda self, task: 1 / 0)  # nobody votes again
    assert label(place, tmp_path / "two", f"votes={tmp_path / 'one'}") == 0
    metrics = [json.loads((tmp_path / n / "metrics.json").read_text()) for n in ("one", "two")]
    assert metrics[0]["rounds"] == metrics[1]["rounds"]
    more = (f"votes={tmp_path / 'one'}", "voting.base_votes=2")
    assert label(place, tmp_path / "three", *more) == 1
    assert "made from other inputs or settings" in capsys.readouterr().err
    assert label(place, tmp_path / "four", f"votes={tmp_path / 'none'}") == 1
    assert "There are no votes in" in capsys.readouterr().err


def test_a_dry_run_says_all_and_writes_nothing(tmp_path, capsys):
    registry = make_place(tmp_path)
    codes = plane(tmp_path / "one_0.tif").copy()
    codes[:2, :5] = 9
    write_raster(tmp_path / "one_0.tif", codes, grid_at(0))
    assert label(registry, tmp_path / "run", "dry_run=true", "rounds=2") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "one codes without mapping: 9 (10 px)" in shown
    assert "level 3, weight 0.2; suggested 3" in shown
    assert "its accuracy is unknown" in shown
    assert "EPSG:25832" in shown
    assert "priority 1 water: threshold 0.3 of 0.3" in shown
    assert "at most 2 of method mapsr" in shown
    assert not (tmp_path / "run").exists()


def test_a_patch_without_any_product_is_undetermined_and_counted(tmp_path, capsys):
    registry = make_place(tmp_path, places=2)
    for name in ("one", "two"):
        (tmp_path / f"{name}_1.tif").unlink()
    assert label(registry, tmp_path / "run") == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["bare_patches"] == 1
    assert (plane(tmp_path / "run" / "labels" / "round_0" / "image_1.tif") == 255).all()
    assert "1 patch(es) without any product: undetermined" in capsys.readouterr().out


def far(folder):
    for name in ("one", "two"):
        write_raster(folder / f"{name}_0.tif", np.ones((70, 110), np.uint8), grid_at(5))


def twice(folder):
    (folder / "more").mkdir()
    shutil.copy(folder / "image_0.tif", folder / "more" / "image_0.tif")


def several(folder):
    text = LEGEND.replace("target: impervious", "target: water").replace("place truth", "nlcd")
    (folder / "truth.yaml").write_text(text.replace("target: wood", "target: nothing"))


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (far, (), "Product 'one' ("),
        (twice, ("image=**/image_0.tif",), "2 images are called 'image_0'"),
        (None, ("registry=ecovisio",), "Did you mean 'ecovision'?"),
        (None, ("paths={three: a.tif}",), "is 'three', expected one of one, two"),
        (None, ("truth=truth_9*.tif",), "No file matches truth=truth_9*.tif"),
        (None, ("truth=null", "validation=truth_0.tif", "test=truth_0.tif"), "expected none in"),
        (None, ("validation=truth_0.tif",), "truth= is set, and so is validation= or test="),
        (None, ("expansion.start=warm", "rounds=1"), "the method trains no network"),
        (None, ("rounds=-1",), "rounds is -1"),
        (None, ("expansion.weight=0.25",), "expansion.weight is 0.25, expected tenths"),
        (None, ("voting.strict=true",), "No class of legend 'chesapeake4' can ever be labelled"),
        (None, ("voting=given",), "gives none: add its key 'voting'"),
        (None, ("voting=gven",), "Did you mean 'given'?"),
        (None, ("roundz=2",), "Did you mean 'rounds'?"),
    ],
)
def test_bad_input_gets_one_sentence(tmp_path, monkeypatch, capsys, change, more, message):
    registry = make_place(tmp_path)
    monkeypatch.chdir(tmp_path)
    if change:
        change(tmp_path)
    assert label(registry, tmp_path / "run", *more) == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors


def test_truth_elsewhere_is_refused(tmp_path, capsys):
    registry = make_place(tmp_path)
    write_raster(tmp_path / "truth_0.tif", np.ones((70, 110), np.uint8), grid_at(5))
    assert label(registry, tmp_path / "run") == 1
    assert "does not overlap any of the 1 image(s)" in capsys.readouterr().err


def test_blocks_are_the_same_in_every_window():
    blocks = Blocks(0.3, 10, 7)
    whole = blocks.mask(Window(0, 0, 300, 500))
    part = blocks.mask(Window(35, 61, 120, 90))
    assert (whole[35:155, 61:151] == part).all()
    assert whole[:10, :10].all() or not whole[:10, :10].any()
    assert abs(whole.mean() - 0.3) < 0.05
    assert (Blocks(0.3, 10, 8).mask(Window(0, 0, 300, 500)) != whole).any()


def test_counts_survive_packing_and_add_up(place, tmp_path):
    """What is kept of each patch sums to what is counted of the whole."""
    from mapsr.labelling import (
        count_patch,
        load_registry,
        make_plan,
        open_products,
        read_patch,
        vote,
    )
    from mapsr.labelling.levels import VotingSettings

    registry = load_registry(str(place))
    plan = make_plan(registry, VotingSettings())
    products = open_products(plan.products)
    grid = grid_at(0)
    truth = np.array([255, *CODES], np.uint8)[plane(place.parent / "truth_0.tif")]

    def counted(window):
        patch = read_patch(products, plan.weights, plan.target, grid, window)
        labels = vote(patch, plan.rule_for(patch))
        return count_patch(plan, patch, labels, truth[window.slices])

    parts = [counted(Window(row, 0, 35, WIDTH)) for row in (0, 35)]
    names = ("one", "two")
    total = add_up(UnitResult({}, (), pack(part)) for part in parts)
    found = unpack(total, names, plan.target.names).as_dict()
    whole = counted(grid.window).as_dict()
    assert found.pop("patches") == 2
    assert whole.pop("patches") == 1
    assert found == whole
