import threading

import numpy as np
import pytest
import torch
from make_rasters import engine, image_file, noise_file, pixelwise, raster

from mapsr.errors import ConfigError, RasterError
from mapsr.geo import WindowSettings
from mapsr.mapping import LocalEngine, LocalSettings
from mapsr.mapping.engines import UnitTask
from mapsr.methods import ComputeSettings

WINDOWS = WindowSettings(10, 3, 17)


def tasks(*rasters):
    return [UnitTask(n, one, unit) for n, one in enumerate(rasters) for unit in one.plan]


def smooth(chips):
    """A score whose bits depend on the order of sums; not the same for all devices of a batch."""
    images = torch.stack([chip.image for chip in chips])
    return {"map": torch.nn.functional.avg_pool2d(images, 3, 1, 1).softmax(1)}


def contents(outcomes):
    """All arrays of all results, by raster and unit."""
    found = {}
    for task, result in outcomes:
        arrays = [*result.inner.values()]
        for seam in result.seams:
            arrays += [seam.valid.numpy(), *(sums.numpy() for sums in seam.sums.values())]
        found[task.job, task.unit.number] = b"".join(array.tobytes() for array in arrays)
    return found


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return noise_file(tmp_path_factory.mktemp("local") / "image.tif", 43, 61)


@pytest.mark.parametrize(("workers", "batch"), [(1, 3), (2, 1), (3, 2), (8, 100)])
def test_workers_and_batches_change_no_bit(image, workers, batch):
    one = raster(image, WINDOWS)
    expected = contents(engine(smooth).run(tasks(one)))
    assert len(expected) == len(one.plan) > 4
    found = contents(engine(smooth, workers, batch).run(tasks(one)))
    assert found == expected


def test_outcomes_come_in_the_order_of_the_tasks(image):
    wanted = tasks(raster(image, WINDOWS), raster(image, WindowSettings(20, 0, 20)))
    found = [task for task, _ in engine(workers=3).run(wanted)]
    assert found == wanted


def test_an_unreadable_raster_spoils_its_own_units_only(image, tmp_path):
    broken = noise_file(tmp_path / "broken.tif", 43, 61)
    spoiled = raster(broken, WINDOWS)
    broken.write_bytes(broken.read_bytes()[:3000])
    outcomes = list(engine(workers=2).run(tasks(raster(image, WINDOWS), spoiled)))
    assert [task.job for task, _ in outcomes] == [0] * len(spoiled.plan) + [1] * len(spoiled.plan)
    good = [(task, result) for task, result in outcomes if task.job == 0]
    assert contents(good) == contents(engine().run(tasks(raster(image, WINDOWS))))
    bad = [result for task, result in outcomes if task.job == 1]
    assert any(isinstance(result, RasterError) for result in bad)
    assert all(str(broken) in str(result) for result in bad if isinstance(result, RasterError))


def test_workers_overlap(image):
    """Three chips are under way at once: none of the threads could pass the barrier alone."""
    barrier = threading.Barrier(3, timeout=20)
    names = set()

    def meeting(chips):
        names.add(threading.current_thread().name)
        if len(names) <= 3 and not barrier.broken and barrier.n_waiting < 3 and rounds:
            rounds.pop()
            barrier.wait()
        return pixelwise(chips)

    rounds = [1, 2, 3]
    list(engine(meeting, workers=3).run(tasks(raster(image, WINDOWS))))
    assert rounds == [] and len(names) == 3


def test_a_thread_computes_on_one_core_and_torch_is_left_as_it_was(image):
    before = torch.get_num_threads()
    seen = set()

    def score(chips):
        seen.add(torch.get_num_threads())
        return pixelwise(chips)

    torch.set_num_threads(2)
    try:
        list(engine(score, workers=2).run(tasks(raster(image, WINDOWS))))
        assert seen == {1}
        assert torch.get_num_threads() == 2
        with pytest.raises(RuntimeError, match="broken"):
            list(engine(broken).run(tasks(raster(image, WINDOWS))))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def broken(chips):
    raise RuntimeError("broken")


def test_few_tasks_are_taken_ahead(image):
    """Memory: rasters are not queued whole."""
    taken, done = [], []
    one = raster(image, WindowSettings(10, 0, 10))

    def watched():
        for task in tasks(one):
            taken.append(task)
            yield task

    most = 0
    for outcome in engine(workers=2).run(watched()):
        done.append(outcome)
        most = max(most, len(taken) - len(done))
    assert len(done) == len(one.plan) == 5 * 7
    assert most <= 5


def test_chips_without_data_are_never_scored(tmp_path):
    values = np.full((3, 12, 40), 9, np.uint8)
    values[:, :, 10:20] = 0
    path = image_file(tmp_path / "gap.tif", values, nodata=0)
    seen = []

    def score(chips):
        seen.extend(chip.window.col for chip in chips)
        return pixelwise(chips)

    one = raster(path, WindowSettings(10, 0, 20))
    list(engine(score, batch=4).run(tasks(one)))
    assert 10 not in seen and {0, 20, 30} <= set(seen)


def test_bad_settings_are_named():
    with pytest.raises(ConfigError, match=r"engine\.workers is 0, expected a number in"):
        LocalSettings(workers=0)
    for name, value in (("batch", 0), ("memory_mib", -1)):
        with pytest.raises(ConfigError, match=f"compute.{name} is {value}, expected a number in"):
            ComputeSettings(**{name: value})


def test_empty_units_were_neither_handed_on_nor_let_go(monkeypatch):
    # between two tiles 30 km apart they piled up in memory until the next tile
    from mapsr.mapping import local
    from mapsr.mapping.blend import UnitResult

    monkeypatch.setattr(local, "batches_of", lambda task, most: [])
    asked = []

    class Task:
        raster = type("R", (), {"plan": None, "outputs": (), "channels": None})()
        unit = None

    def tasks():
        for number in range(5):
            asked.append(number)
            yield Task()

    outcomes = LocalEngine(lambda chips: {}, 1).run(tasks())
    assert next(outcomes)[1] == UnitResult({}, ())
    assert asked == [0]
    assert len(list(outcomes)) == 4
