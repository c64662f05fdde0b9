"""`mapsr label` with rounds: fit, map, vote with the map, and again."""

import json

import numpy as np
import pytest
from make_places import HEIGHT, WIDTH, make_place

import mapsr.rounds.loop as loop
import mapsr.rounds.models as models
from mapsr.cli.main import main
from mapsr.evaluation import Confusion
from mapsr.geo import Window, read_tags, read_values
from mapsr.mapping.local import LocalEngine
from mapsr.methods import load_fitted
from mapsr.rounds.models import Judged

WHOLE = Window(0, 0, HEIGHT, WIDTH)
QUICK = (
    *("prompts.pixels=1000", "prompts.epochs=2", "upsampler=bilinear", "refine=none"),
    *("windows.chip=48", "windows.overlap=8", "windows.unit=48"),
    *("engine.workers=1", "expansion.block_px=10", "patch=64"),
)
NETWORK = (
    *("method=unet_small", "training.max_steps=2", "training.batch=2", "training.crop=32"),
    *("training.chips_per_scene=2", "training.checkpoint_every=null"),
)


def expand(registry, output, *more, truth="truth_*.tif") -> int:
    folder = registry.parent
    given = [f"registry={registry}", f"image={folder}/image_*.tif", f"output={output}"]
    if truth:
        given += [f"truth={folder}/{truth}", f"truth_legend={folder}/truth.yaml"]
    return main(["label", *given, *QUICK, *more])


def plane(path) -> np.ndarray:
    return read_values(path, WHOLE)[0]


def metrics_of(folder) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def layers(folder, number) -> list[np.ndarray]:
    """Label, confidence, provenance and round of a round."""
    ends = ("", "_confidence", "_provenance", "_round")
    return [plane(folder / "labels" / f"round_{number}" / f"image_0{end}.tif") for end in ends]


def by_hand(folder, before, model, number, weight):
    """The next round, pixel by pixel: products .2 and .1, the model, thresholds of .3."""
    table = np.array([255, 3, 0, 1, 2])  # codes of the products as class indices
    products = [
        (bit, tenths, table[plane(folder / f"{name}_0.tif")])
        for bit, (name, tenths) in enumerate((("one", 2), ("two", 1)))
    ]
    products.append((2, weight, model))
    after = [layer.copy() for layer in before]
    for row, col in np.argwhere(before[0] == 255):
        for target in range(4):
            voting = [(b, w) for b, w, said in products if said[row, col] == target]
            total = sum(w for _, w in voting)
            if total >= 3:
                provenance = sum(1 << b for b, _ in voting)
                for layer, value in zip(after, (target, total, provenance, number), strict=True):
                    layer[row, col] = value
                break
    return after


def test_rounds_are_as_computed_by_hand(place, tmp_path, capsys):
    run = tmp_path / "run"
    assert expand(place, run, "rounds=2", "expansion.weight=0.2") == 0
    metrics = metrics_of(run)
    kept = len(metrics["rounds"])
    assert kept > 1
    truth = np.array([255, 3, 0, 1, 2])[plane(place.parent / "truth_0.tif")]
    for number in range(1, kept):
        before, after = layers(run, number - 1), layers(run, number)
        model = plane(run / "models" / f"round_{number}" / "image_0.tif")
        for found, want in zip(after, by_hand(place.parent, before, model, number, 2), strict=True):
            assert (found == want).all()
        new = (before[0] == 255) & (after[0] != 255)
        assert (after[0][new] == model[new]).all()
        said = metrics["rounds"][number]
        assert said["trusted"] == (after[0] != 255).mean()
        assert said["newly_trusted"] == pytest.approx(new.mean())
        assert said["model"]["oa"] == (model == truth).mean()
        assert said["model"]["weight_tenths"] == 2
    final = plane(run / "maps" / "image_0.tif")
    assert (final == np.where(after[0] != 255, after[0], model)).all()
    assert metrics["final"]["oa"] == (final == truth).mean()
    assert metrics["final"]["round"] == kept - 1
    assert metrics["stop"]["rule"] == "validation"
    assert "final map: OA" in capsys.readouterr().out


def test_final_map_of_one_round_does_not_depend_on_the_models_weight(place, tmp_path):
    finals, trusted = [], []
    for weight in ("0.1", "0.2", "0.3"):
        run = tmp_path / weight
        assert expand(place, run, "rounds=1", f"expansion.weight={weight}") == 0
        finals.append(plane(run / "maps" / "image_0.tif"))
        trusted.append(metrics_of(run)["rounds"][1]["trusted"])
        old, new = layers(run, 0)[0], layers(run, 1)[0]
        newly = (old == 255) & (new != 255)
        assert newly.any()
        assert (new[newly] == plane(run / "models" / "round_1" / "image_0.tif")[newly]).all()
    assert (finals[0] == finals[1]).all()
    assert (finals[0] == finals[2]).all()
    assert trusted[0] < trusted[1] < trusted[2]


def test_the_models_weight_follows_its_validation_accuracy(place, tmp_path):
    assert expand(place, tmp_path / "run", "rounds=1") == 0
    model = metrics_of(tmp_path / "run")["rounds"][1]["model"]
    accuracy = model["validation"]["oa"]
    assert model["value"] == accuracy
    assert model["weight_from"] == "validation accuracy"
    assert model["weight_tenths"] == (3 if accuracy > 0.85 else 2 if accuracy > 0.8 else 1)


def test_without_truth_agreement_on_held_out_pixels_decides(place, tmp_path):
    run = tmp_path / "run"
    more = ("rounds=3", "expansion.held_out=0.2")
    assert expand(place, run, *more, truth=None) == 0
    metrics = metrics_of(run)
    assert metrics["stop"]["rule"] == "agreement"
    assert metrics["final"]["oa"] is None
    labels = layers(run, 0)[0]
    learnt = plane(run / "labels" / "round_0" / "image_0_learn.tif")
    hidden = (labels != 255) & (learnt == 255)
    assert 0.05 < hidden.sum() / (labels != 255).sum() < 0.4
    assert (labels[learnt != 255] == learnt[learnt != 255]).all()
    model = metrics["rounds"][1]["model"]
    said = plane(run / "models" / "round_1" / "image_0.tif")
    assert model["agreement"] == (said == labels)[hidden].mean()
    assert model["weight_tenths"] == 1
    assert model["weight_from"] == "accuracy unknown"


def test_a_model_that_is_no_better_ends_the_loop_and_the_best_is_kept(place, tmp_path, monkeypatch):
    judge = loop.judge_model
    seen = []

    def worse(polls, first, maps):
        seen.append(judge(polls, first, maps))
        one = seen[0]
        if len(seen) == 1:
            return one
        return Judged(one.confusion, one.validation, one.held)  # just as good: not better

    monkeypatch.setattr(loop, "judge_model", worse)
    run = tmp_path / "run"
    assert expand(place, run, "rounds=5", "expansion.weight=0.1") == 0
    metrics = metrics_of(run)
    assert [one["round"] for one in metrics["rounds"]] == [0, 1]
    assert metrics["rejected"]["round"] == 2
    assert "is no better" in metrics["stop"]["reason"]
    assert metrics["final"]["round"] == 1
    assert not (run / "labels" / "round_2").exists()
    model = plane(run / "models" / "round_1" / "image_0.tif")
    last = layers(run, 1)[0]
    assert (plane(run / "maps" / "image_0.tif") == np.where(last != 255, last, model)).all()


def test_a_killed_round_goes_on_without_a_second_fit(place, tmp_path, monkeypatch):
    assert expand(place, tmp_path / "whole", "rounds=1") == 0
    fits = []
    fit = models.fit
    monkeypatch.setattr(models, "fit", lambda *a: (fits.append(None), fit(*a))[1])
    run = LocalEngine.run

    def killed(self, tasks):
        for number, outcome in enumerate(run(self, tasks)):
            if number == 2:
                raise KeyboardInterrupt
            yield outcome

    with monkeypatch.context() as inside:
        inside.setattr(LocalEngine, "run", killed)
        assert expand(place, tmp_path / "killed", "rounds=1") == 130
    assert expand(place, tmp_path / "killed", "rounds=1") == 0
    assert len(fits) == 1
    files = [
        path
        for path in sorted((tmp_path / "whole").rglob("*"))
        if path.suffix in (".tif", ".safetensors")
    ]
    assert len(files) == 11
    for file in files:
        other = tmp_path / "killed" / file.relative_to(tmp_path / "whole")
        assert file.read_bytes() == other.read_bytes(), file.name


def test_images_without_validation_truth_are_mapped_after_those_with_it(tmp_path):
    registry = make_place(tmp_path, places=2)
    assert expand(registry, tmp_path / "run", "rounds=1", truth="truth_1.tif") == 0
    for name in ("image_0", "image_1"):
        assert (tmp_path / "run" / "maps" / f"{name}.tif").exists()
    metrics = metrics_of(tmp_path / "run")
    model = metrics["rounds"][1]["model"]
    assert model["scores"]["pixels"] == HEIGHT * WIDTH
    assert metrics["pixels"] == 2 * HEIGHT * WIDTH


def test_a_class_without_trusted_pixels_is_named(tmp_path, capsys):
    registry = make_place(tmp_path)
    text = registry.read_text().replace("2: water", "2: null")
    registry.write_text(text)
    assert expand(registry, tmp_path / "run", "rounds=1") == 0
    assert "class 'water' has no trusted pixel" in capsys.readouterr().err
    for word in ("3: tree canopy", "4: low vegetation"):
        text = text.replace(word, f"{word[:2]} null")
    registry.write_text(text)
    assert expand(registry, tmp_path / "one", "rounds=1") == 1
    errors = capsys.readouterr().err
    assert "1 class(es) have trusted pixels (impervious), expected two at least" in errors


def test_truth_too_small_for_validation_is_said(place, tmp_path, capsys):
    more = ("rounds=1", "expansion.block_px=5000", "expansion.validation_share=0.01")
    assert expand(place, tmp_path / "run", *more) == 1
    assert "No pixel of the images has truth that decides" in capsys.readouterr().err


def test_a_network_learns_from_trusted_pixels_and_starts_warm(place, tmp_path, monkeypatch):
    empty, rising = Confusion.zeros(4), iter(range(10, 90, 10))
    monkeypatch.setattr(loop, "judge_model", lambda *a: Judged(empty, empty, (next(rising), 100)))
    run = tmp_path / "run"
    assert expand(place, run, "rounds=2", "expansion=warm", *NETWORK, "bands=3") == 0
    fresh = tmp_path / "fresh"
    assert expand(place, fresh, "rounds=2", *NETWORK, "bands=3") == 0
    assert [one["round"] for one in metrics_of(fresh)["rounds"]] == [0, 1, 2]
    first = [load_fitted(one / "models" / "round_1").state.tensors for one in (run, fresh)]
    second = [load_fitted(one / "models" / "round_2").state.tensors for one in (run, fresh)]
    name = "model.encoder.conv1.weight"
    assert (first[0][name] == first[1][name]).all()
    moved = [(b[name] - a[name]).abs().max() for a, b in zip(first, second, strict=True)]
    assert moved[0] > 0
    apart = (second[0][name] - second[1][name]).abs().max()
    assert apart > 0


def test_a_network_that_diverges_loses_nothing(place, tmp_path, capsys):
    more = ("rounds=1", *NETWORK, "training.learning_rate=1e30", "training.max_steps=6")
    assert expand(place, tmp_path / "run", *more) == 1
    errors = capsys.readouterr().err
    assert "the training diverged" in errors
    assert "The labels of round 0 are whole in" in errors
    assert (tmp_path / "run" / "labels" / "round_0" / "image_0.tif").exists()


def test_a_method_that_reads_a_product_reads_the_labels(place, tmp_path, monkeypatch):
    monkeypatch.setattr("test_expand.QUICK", QUICK[3:])  # the keys of other prompts
    more = ("rounds=1", "method=mapsr_em", "upsampler=bilinear", "prompts.steps=3")
    assert expand(place, tmp_path / "run", *more) == 0
    metrics = metrics_of(tmp_path / "run")
    assert metrics["final"]["oa"] > metrics["rounds"][0]["scores_all"]["oa"]
    tags = read_tags(tmp_path / "run" / "models" / "round_1" / "image_0.tif")
    assert tags["MAPSR_PRODUCT"] == "image_0.tif"


def test_judged_without_truth_or_held_out_has_no_value():
    empty = Confusion.zeros(4)
    assert Judged(empty, empty, (0, 0)).value is None
    assert Judged(empty, empty, (3, 4)).value == 0.75
