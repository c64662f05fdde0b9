"""How long a map will take: the arithmetic, with timings made up, and what is really timed."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from test_rasters_examined import FACTS, SETTINGS, write_image

from mapsr.data import Chip
from mapsr.doctor.estimate import _time
from mapsr.doctor.measure import Cost
from mapsr.doctor.prediction import Work, fit_seconds, predict
from mapsr.doctor.rehearsal import Writing, brightness_classes, rehearse_fit, rehearse_writing
from mapsr.errors import PromptError
from mapsr.geo import ImageReader, Window, image_info
from mapsr.legends import Legends, load_legend
from mapsr.methods import ComputeSettings
from mapsr.methods.method import FitWork
from mapsr.region.predicted import Estimate, compared, keep_estimate, kept_estimate

COST = Cost(
    method=None,
    seconds=4.0,
    encode_seconds=10.0,
    program_mib=500,
    memory_mib=100,
    features_mib=3,
    device_mib=None,
    at_once=2,
    round_seconds=5.0,
    fit_seconds=30.0,
    writing=Writing(labels=2.0, floats=3.0, measure=0.5),
)


@pytest.mark.parametrize(("chips", "seconds"), [(1, 4), (2, 5), (5, 14), (6, 15), (0, 0)])
def test_chips_are_scored_in_rounds(chips, seconds):
    """Two at once take 5 s, one alone 4 s."""
    assert predict(COST, Work(chips, 0.0, FitWork(0, 0)), SETTINGS).map == seconds


def test_an_estimate_left_the_probe_and_the_start_out():
    """25 s were foretold, and it took 66."""
    work = Work(chips=7, mpx=10.0, fit=FitWork(8, 2, 0.0, "prompts"), start_seconds=3.0)
    found = predict(COST, work, replace(SETTINGS, confidence=True))
    # three rounds and a chip; 10 Mpx of labels and of confidence; 7 more chips are seen once
    assert found == Estimate(start=3.0, fit=30 + 7 * 10, map=15 + 4 + 20 + 30, measure=5.0)
    assert found.total == 3 + 100 + 69 + 5
    assert _time(COST, work, SETTINGS).text == (
        "about 2.5 minutes: 3 s to start, 39 s for 7 chip(s) of 4 s, 2 at once, and to write the "
        "map, 5 s to measure it, and 1.7 minutes to fit prompts on 8 chip(s)"
    )


@pytest.mark.parametrize(("room", "more"), [(0, 140), (10, 120), (2048, 70)])
def test_features_that_there_is_no_room_for_are_computed_again(room, more):
    """8 chips of 10 s and 3 MiB, seen twice; the rehearsal had one of them already."""
    settings = replace(SETTINGS, compute=ComputeSettings(device="cpu", memory_mib=room))
    assert fit_seconds(COST, FitWork(8, 2), settings) == 30 + more


def test_a_fit_that_is_not_known_is_not_a_fit_of_no_time():
    unknown = replace(COST, fit_seconds=None)
    for cost, fit in ((COST, FitWork(8, None)), (unknown, FitWork(8, 2)), (COST, FitWork())):
        work = Work(7, 1.0, fit)
        assert predict(cost, work, SETTINGS).fit is None
        assert _time(cost, work, SETTINGS).text.endswith("whose time is not known beforehand")
    assert predict(unknown, Work(7, 1.0, FitWork(0, 0)), SETTINGS).fit == 0


class Recorder:
    """A method that keeps what it is fitted on."""

    def __init__(self):
        self.seen = []

    def fit(self, task):
        self.seen.extend(task.chips(5))
        if not self.seen[0].valid.any():
            raise PromptError("no pixel")

    def settle(self):
        self.seen.append("settled")


def test_a_fit_is_rehearsed_on_two_halves_of_a_chip(tmp_path):
    info = image_info(write_image(tmp_path / "a.tif", 40, 33))
    image, valid = ImageReader(info, 3, 255.0).read(Window(0, 0, 31, 33))
    chip = Chip("a", Window(0, 0, 31, 33), *map(torch.from_numpy, (image, valid)), None, None)
    method = Recorder()
    assert 0 <= rehearse_fit(method, chip, SETTINGS, FACTS) < 60
    first, second, end = method.seen
    assert (first.valid.shape, second.valid.shape, end) == ((15, 33), (16, 33), "settled")
    assert second.window == Window(15, 0, 16, 33)
    assert (torch.cat([first.image, second.image], 1) == chip.image).all()
    crosswalk = Legends.load(SETTINGS.legend, scored=False).coarse
    classes = brightness_classes(chip, crosswalk)
    assert (torch.cat([first.coarse, second.coarse]) == classes).all()
    targets = np.array([crosswalk.table[one] for one in classes.flatten().tolist()])
    counts = np.bincount(targets, minlength=len(crosswalk.target))
    assert counts.max() - counts.min() <= 1  # each class of the map as often as any other
    brightness = chip.image.mean(0).flatten().numpy()
    spans = sorted(
        (brightness[targets == one].min(), brightness[targets == one].max())
        for one in np.unique(targets)
    )
    assert all(low[1] <= high[0] for low, high in pairwise(spans))
    empty = replace(chip, valid=torch.zeros_like(chip.valid))
    assert rehearse_fit(Recorder(), empty, SETTINGS, FACTS) is None


def test_writing_is_rehearsed_with_floats_where_some_are_wanted(tmp_path):
    info = image_info(write_image(tmp_path / "a.tif", 90, 70))
    target = load_legend(SETTINGS.legend.target)
    found = rehearse_writing(info, SETTINGS, target)
    assert found.labels > 0 and found.measure > 0 and found.floats == 0
    assert rehearse_writing(info, replace(SETTINGS, confidence=True), target).floats > 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_an_estimate_is_kept_for_the_record_of_its_map(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = replace(SETTINGS, image=str(tmp_path / "a.tif"))
    assert kept_estimate(settings) is None
    keep_estimate(settings, Estimate(1.0, 20.0, 30.0, 4.0))
    found = kept_estimate(replace(settings, out="elsewhere.tif", overwrite=True))
    assert found["seconds"] == {"start": 1, "fit": 20, "map": 30, "measure": 4, "total": 55}
    assert kept_estimate(replace(settings, confidence=True)) is None
    took = {"fit": 30.0, "map": 45.0, "measure": 99.0}
    assert compared(found, took, whole=True)["took_over_predicted"] == 1.5
    assert compared(found, took, whole=False)["took_over_predicted"] is None
    unknown = found | {"seconds": found["seconds"] | {"fit": None}}
    assert compared(unknown, took, whole=True)["took_over_predicted"] is None
    assert compared(None, took, whole=True) is None
    (file,) = (tmp_path / "mapsr" / "estimates").iterdir()
    file.write_text("{")
    assert kept_estimate(settings) is None
    monkeypatch.setattr("mapsr.region.predicted._MOST", 2)
    for seed in range(4):
        keep_estimate(replace(settings, seed=seed), Estimate(1.0, None, 3.0, 4.0))
    assert len(list(file.parent.iterdir())) == 2
