"""Runs, trainings, sweeps, tables and votes, killed again and again, end as undisturbed ones do."""

import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rasterio
import yaml
from make_places import make_place

from mapsr.errors import ConfigError
from mapsr.locks import FolderLock

pytestmark = pytest.mark.soak
KILLS = 12
PATIENCE_S = 900
DRAWN = ("data.height=160", "data.width=172", "data.fit_scenes=1", "data.score_scenes=1")
PROMPTS = ("prompts.pixels=1000", "prompts.epochs=3", "upsampler=bilinear")
NETWORK = (
    *(
        "method=l2hnet_original",
        "training.epochs=null",
        "training.max_steps=12",
        "training.batch=2",
    ),
    *("training.crop=32", "training.chips_per_scene=2", "network.width=8"),
    *("training.checkpoint_every=2", "windows.chip=48", "windows.overlap=8", "windows.unit=48"),
)
TABLE = {
    "title": "Drawn",
    "caption": "Scores on drawn scenes.",
    "all": [*DRAWN, *PROMPTS, "logger=none"],
    "seeds": [0, 1],
    "show": ["miou", "oa"],
    "rows": [
        {"name": "mapsr", "label": "MapSR", "overrides": ["method=mapsr"]},
        {"name": "kmeans_voting", "label": "K-means", "overrides": ["method=kmeans_voting"]},
    ],
}


def begin(words, folder, log):
    with log.open("a") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "mapsr", *words], cwd=folder, stdout=file, stderr=file
        )


def begun(folder):
    """A folder to work in."""
    folder.mkdir()
    (folder / "drawn.yaml").write_text(yaml.safe_dump(TABLE))
    make_place(folder)
    return folder


def killed_and_finished(words, tmp_path, seed):
    """Do a command in a folder, and in others with kills; yields the first and each other.

    A command that what is kept made shorter than its time before a kill is done: another folder is
    begun, until there were enough kills.
    """
    log = tmp_path / "log.txt"
    whole = begun(tmp_path / "whole")
    started = time.monotonic()
    assert begin(words, whole, log).wait(PATIENCE_S) == 0, log.read_text()
    taken = time.monotonic() - started
    drawn, alive, number = random.Random(seed), 0, 0
    killed = begun(tmp_path / "0")
    while alive < KILLS:
        process = begin(words, killed, log)
        try:
            assert process.wait(drawn.uniform(0.2, 1.0) * taken) == 0, log.read_text()
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            alive += 1
            continue
        yield whole, killed
        number += 1
        killed = begun(tmp_path / str(number))
    assert begin(words, killed, log).wait(PATIENCE_S) == 0, log.read_text()
    yield whole, killed
    text = log.read_text()
    assert "Traceback" not in text and "does not expect" not in text, text


def without_time(value):
    """What a result holds, but for how long it took and where it lay."""
    if isinstance(value, dict):
        passing = {"seconds", "peak_memory_mib", "cuda_memory_mib"}
        return {key: without_time(one) for key, one in value.items() if key not in passing}
    return value


def results(folder):
    """All scores, label maps and fitted methods below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name in ("metrics.json", "statistics.json"):
            found[name] = without_time(json.loads(path.read_text()))
        elif path.suffix == ".tif":
            with rasterio.open(path) as dataset:  # tags name inputs, which lie in two folders
                found[name] = (dataset.shape, dataset.nodata, dataset.read().tobytes())
    assert found
    assert not [path for path in folder.rglob("*.work") if path.is_dir()]
    return found


@pytest.mark.parametrize(
    "words",
    [
        ["run", *DRAWN, *PROMPTS, "logger=none", "output=r"],
        ["run", *DRAWN, *NETWORK, "logger=none", "output=r"],
        ["run", "-m", *DRAWN, *PROMPTS, "logger=none", "seed=0,1"],
        ["table", "drawn.yaml"],
        ["label", "registry=places.yaml", "image=image_*.tif", "output=r", "patch=16"],
    ],
    ids=["prompts", "training", "sweep", "table", "votes"],
)
def test_kills_lose_nothing(tmp_path, words):
    for whole, killed in killed_and_finished(words, tmp_path, seed=len(" ".join(words))):
        assert results(killed) == results(whole)


def take_turns(folder, until):
    """Take a folder again and again; returns how often, and how often somebody else was in it."""
    taken = met = 0
    while time.monotonic() < until:
        lock = FolderLock(folder)
        try:
            lock.acquire()
        except ConfigError:
            continue
        inside = folder / "inside"
        try:
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            taken += 1
            inside.unlink()
        except FileExistsError:
            met += 1
        lock.release()
    return taken, met


def test_nobody_meets_in_a_locked_folder(tmp_path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        until = time.monotonic() + 30
        turns = pool.starmap(take_turns, [(Path(tmp_path), until)] * 4)
    assert sum(met for _, met in turns) == 0
    assert sum(taken for taken, _ in turns) > 1000
    assert min(taken for taken, _ in turns) > 0
