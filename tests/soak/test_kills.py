"""A job on a large raster, killed at twenty moments: it ends in the file of an undisturbed one."""

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from make_scenes import make_scene_folder

from mapsr.cli.main import main
from mapsr.geo import Grid, read_grid, write_raster
from mapsr.mapping.store import WorkFolder

pytestmark = pytest.mark.soak

HEIGHT, WIDTH = 2000, 3000
UNITS = 6 * 8
KILLS = {"start": 5, "units": 10, "assembly": 5}
"""How many kills before the first unit of an attempt, while units are scored, and after them."""
PATIENCE_S = 900


@dataclass(frozen=True)
class Job:
    """A command on its way, seen from outside."""

    process: subprocess.Popen
    begun: float
    since: float
    out: Path

    @classmethod
    def begin(cls, arguments, out, log):
        command = [sys.executable, "-m", "mapsr", "map", *arguments, f"out={out}"]
        since = time.time()
        with log.open("a") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file)
        return cls(process, time.monotonic(), since, out)

    @property
    def units(self):
        return len([*WorkFolder(self.out).path.glob("unit-*.npz")])

    @property
    def assembles(self):
        """Whether it has begun to write the map's files; those of an earlier attempt are older."""
        try:
            files = [*WorkFolder(self.out).path.glob(".map_*.plain.tif")]
            return any(path.stat().st_mtime > self.since for path in files)
        except FileNotFoundError:  # gone between the two looks
            return False

    def until(self, condition):
        """Wait for a condition or the end of the process; returns seconds since its beginning."""
        while self.process.poll() is None and not condition(self):
            assert time.monotonic() - self.begun < PATIENCE_S
            time.sleep(0.002)
        return time.monotonic() - self.begun

    def kill(self):
        """Returns whether it was alive."""
        self.process.kill()
        return self.process.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """What to map: the miniature scene again and again, with noise that never repeats."""
    folder = tmp_path_factory.mktemp("soak")
    scenes = make_scene_folder(folder / "scenes")
    source = scenes / "val" / "village_naip.tif"
    with rasterio.open(source) as dataset:
        values = dataset.read()
    times = -(-HEIGHT // values.shape[1]), -(-WIDTH // values.shape[2])
    values = np.tile(values, (1, *times))[:, :HEIGHT, :WIDTH].astype(np.int16)
    values += np.random.default_rng(90817).integers(-12, 13, values.shape, np.int16)
    grid = read_grid(source)
    image = folder / "large.tif"
    large = Grid(grid.crs, grid.transform, HEIGHT, WIDTH)
    write_raster(image, values.clip(0, 255).astype(np.uint8), large)
    run = folder / "run"
    command = [
        "data=geotiff",
        f"data.root={scenes}",
        "data.image=*/{scene}_naip.tif",
        "data.coarse=*/{scene}_nlcd_30m.tif",
        "data.fit=train/*",
        "prompts.pixels=2000",
        "prompts.epochs=2",
        "logger=none",
        "data.score=val/*",
        f"output={run}",
    ]
    assert main(["run", *command]) == 0
    return [f"prompts={run}", f"image={image}", "windows.unit=448", "confidence=true"]


PASSING = ("map", "command", "started", "seconds", "resumed_units", "log", "peak_memory_mib")
"""What a record holds of where and when its map was made."""


def contents(folder):
    """All files, but for the log and what a record tells of one attempt."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    del files["map_log.txt"]
    record = json.loads(files["map_record.json"].replace(str(folder).encode(), b""))
    files["map_record.json"] = {key: one for key, one in record.items() if key not in PASSING}
    return files


def moments():
    """Which stage to kill an attempt in, and how far in it (0 to 1), in the order of the work."""
    drawn = random.Random(41507)
    stages = ["start"] * KILLS["start"] + ["units"] * KILLS["units"]
    drawn.shuffle(stages)
    stages += ["assembly"] * KILLS["assembly"]
    return [(stage, drawn.random()) for stage in stages]


def test_twenty_kills_lose_nothing(arguments, tmp_path):
    log = tmp_path / "log.txt"
    straight, out = tmp_path / "straight" / "map.tif", tmp_path / "killed" / "map.tif"
    job = Job.begin(arguments, straight, log)
    start_s = job.until(lambda job: job.units > 0)
    job.until(lambda job: job.assembles)
    began_s = time.monotonic() - job.begun
    assembly_s = job.until(lambda job: straight.exists()) - began_s
    assert job.process.wait(PATIENCE_S) == 0, log.read_text()
    expected = contents(straight.parent)

    most = 0
    for stage, share in moments():
        job = Job.begin(arguments, out, log)
        if stage == "start":
            time.sleep(share * start_s)
        elif stage == "units":
            enough = min(most + 1 + int(share * 4), UNITS - 2)
            job.until(lambda job, enough=enough: job.units >= enough)
        else:
            job.until(lambda job: job.assembles)
            time.sleep(0.6 * share * assembly_s)  # runs differ in speed
        assert job.kill(), f"{stage} {share}: it was done before\n{log.read_text()}"
        assert job.units >= most
        most = job.units
        if out.exists():  # published, and killed before it had cleared away its units
            assert stage == "assembly" and out.read_bytes() == expected[out.name]
    job = Job.begin(arguments, out, log)
    assert job.process.wait(PATIENCE_S) == 0, log.read_text()
    assert contents(out.parent) == expected
    assert [path for path in out.parent.iterdir() if path.is_dir()] == []
    text = log.read_text()
    assert "Traceback" not in text and "is damaged" not in text
