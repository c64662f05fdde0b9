"""The engine of a GPU with the CPU as its device, and limits of memory that are made up."""

import multiprocessing.dummy
import queue
from contextlib import closing
from types import SimpleNamespace

import pytest
import torch
from make_rasters import engine, image_file, noise_file, pixelwise, raster
from test_local import WINDOWS, contents, smooth, tasks

from mapsr import budgets
from mapsr.errors import ConfigError, MapsrError, RasterError
from mapsr.geo import WindowSettings
from mapsr.mapping.gpu import GpuEngine, is_out_of_memory, measured_batch
from mapsr.mapping.processes import GpuProcesses
from mapsr.mapping.reading import ReadAhead

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return noise_file(tmp_path_factory.mktemp("gpu") / "image.tif", 43, 61)


class Limited:
    """A device on which chips take memory, in MiB: so much each, and so much in any case."""

    def __init__(self, total, each=10, fixed=5):
        self.total, self.each, self.fixed = total, each, fixed
        self.seen, self.worst, self.emptied = [], 0, 0

    def score(self, chips):
        self.seen.append(len(chips))
        need = self.fixed + self.each * len(chips)
        self.worst = max(self.worst, need)
        if need > self.total:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return smooth(chips)

    def free(self):
        return self.total << 20

    def peak(self, work):
        self.worst = 0
        work()
        return self.worst << 20

    def empty(self):
        self.emptied += 1


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_results_are_those_of_the_engine_of_threads(image, batch):
    one = raster(image, WINDOWS)
    found = GpuEngine(smooth, CPU, batch).run(tasks(one))
    assert contents(found) == contents(engine(smooth).run(tasks(one)))


def test_out_of_memory_in_the_middle_of_a_job_costs_a_smaller_batch_and_no_unit(image, caplog):
    one = raster(image, WindowSettings(10, 3, 40))
    expected = contents(engine(smooth).run(tasks(one)))
    device = Limited(45)  # four chips at once, until...
    found = []
    for outcome in GpuEngine(device.score, CPU, 4, memory=device).run(tasks(one)):
        found.append(outcome)
        device.total = 29  # ...somebody else takes some of it
    assert contents(found) == expected
    assert device.seen[0] == 4 and device.seen[-1] <= 2 and device.emptied == 1
    assert "not enough memory for 4 chips at once; going on with 2" in caplog.text


def test_a_gpu_without_memory_for_one_chip_is_one_sentence(image):
    device = Limited(3)
    gpu = GpuEngine(device.score, CPU, 4, memory=device)
    outcomes = list(gpu.run(tasks(raster(image, WINDOWS))))
    error = outcomes[0][1]
    assert isinstance(error, ConfigError) and gpu.batch == 1
    assert str(error) == (
        "Scoring one chip of 10 x 10 px takes more memory than cpu has (3 MiB are free): set a "
        "smaller windows.chip, end what else runs there, or set compute.device=cpu."
    )
    assert device.seen[:3] == [4, 2, 1]


def test_a_fault_that_is_not_memory_is_not_retried(image):
    def broken(chips):
        raise RuntimeError("sizes must match")

    with pytest.raises(RuntimeError, match="sizes must match"):
        list(GpuEngine(broken, CPU, 2).run(tasks(raster(image, WINDOWS))))
    assert is_out_of_memory(RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling"))


def test_the_batch_is_found_once_by_measuring(image, monkeypatch):
    # 0.8 x 70 less 5 are five chips of ten
    device = Limited(70)
    assert measured_batch(lambda count: device.score([pixel()] * count), device, 64) == 5
    device.seen.clear()
    gpu = GpuEngine(device.score, CPU, memory=device)
    assert gpu.batch is None
    one = raster(image, WindowSettings(10, 3, 40))
    assert contents(gpu.run(tasks(one))) == contents(engine(smooth).run(tasks(one)))
    assert gpu.batch == 5
    assert device.seen[:3] == [1, 1, 2] and set(device.seen[3:]) <= {1, 2, 3, 4, 5}
    again = len(device.seen)
    list(gpu.run(tasks(one)))
    assert device.seen[again:] == device.seen[3:again]
    assert measured_batch(lambda count: device.score([pixel()] * count), device, 3) == 3
    small = Limited(20)  # two do not fit
    assert measured_batch(lambda count: small.score([pixel()] * count), small, 64) == 1
    # where memory is not known, one at a time
    assert GpuEngine(smooth, CPU).batch == 1


def pixel():
    from mapsr.data import Chip
    from mapsr.geo import Window

    return Chip("", Window(0, 0, 3, 4), torch.zeros(3, 3, 4), torch.ones(3, 4).bool(), None, None)


def test_the_next_batch_is_read_while_one_is_scored_and_no_more(image):
    one = raster(image, WindowSettings(10, 0, 10))
    with closing(ReadAhead(CPU, 2, 1)) as reading:
        steps = reading.steps(tasks(one))
        first = next(steps)
        before = first.future.result().on_device()[0].image.clone()
        second = next(steps)
        held = second.future.result()
        # the first one's memory is not used again before the third is asked for
        assert torch.equal(first.future.result().chips[0].image, before)
        third = next(steps)
        assert third.future.result().slot is first.future.result().slot is not held.slot
        assert len(list(steps)) == len(one.plan) - 3


def test_chips_without_data_are_not_scored_and_empty_units_are_done(tmp_path):
    import numpy as np

    values = np.full((3, 12, 40), 9, np.uint8)
    values[:, :, 10:30] = 0
    one = raster(image_file(tmp_path / "gap.tif", values, nodata=0), WindowSettings(10, 0, 10))
    seen = []

    def score(chips):
        seen.extend(chip.window.col for chip in chips)
        return pixelwise(chips)

    outcomes = list(GpuEngine(score, CPU, 4).run(tasks(one)))
    assert [task.unit.number for task, _ in outcomes] == list(range(len(one.plan)))
    assert set(seen) == {0, 30}


def test_an_unreadable_raster_spoils_its_own_units_only(image, tmp_path):
    broken = noise_file(tmp_path / "broken.tif", 43, 61)
    spoiled, good = raster(broken, WINDOWS), raster(image, WINDOWS)
    broken.write_bytes(broken.read_bytes()[:3000])
    outcomes = list(GpuEngine(smooth, CPU, 2).run(tasks(good, spoiled, good)))
    jobs = [task.job for task, _ in outcomes]
    assert jobs == sorted(jobs) and jobs.count(1) == len(spoiled.plan)
    assert any(isinstance(result, RasterError) for task, result in outcomes if task.job == 1)
    assert not any(isinstance(result, MapsrError) for task, result in outcomes if task.job != 1)


class Threads:
    """Stands for new processes."""

    class Queue(queue.Queue):
        def cancel_join_thread(self):
            """It has no thread of its own."""

    class Process(multiprocessing.dummy.DummyProcess):
        def terminate(self):
            """A thread sees the end of its inbox."""


def test_devices_share_the_units_each_with_a_process(image):
    used = []

    def build(device):
        used.append(device)
        return smooth

    one, other = raster(image, WINDOWS), raster(image, WindowSettings(20, 3, 20))
    both = GpuProcesses(build, [CPU, torch.device("cpu", 0)], 2, 1, Threads)
    found = contents(both.run(tasks(one, other)))
    assert found == contents(engine(smooth).run(tasks(one, other)))
    assert sorted(map(str, used)) == ["cpu", "cpu:0"]
    assert list(both.run(iter(()))) == []


def test_a_method_that_cannot_be_built_in_a_process_is_the_jobs_error(image):
    def build(device):
        raise ConfigError("The weights are not here.")

    with pytest.raises(ConfigError, match=r"^The weights are not here\.$"):
        list(GpuProcesses(build, [CPU], 2, 1, Threads).run(tasks(raster(image, WINDOWS))))


def test_a_process_that_dies_is_one_sentence(image):
    class Dead(Threads):
        class Process:
            exitcode = -9

            def __init__(self, target, args):
                pass

            start = join = terminate = lambda self: None
            is_alive = staticmethod(lambda: False)

    with pytest.raises(MapsrError, match=r"process of cpu died \(exit status -9\)"):
        list(GpuProcesses(None, [CPU], 2, 1, Dead).run(tasks(raster(image, WINDOWS))))


@pytest.mark.soak
def test_new_processes_give_the_same_results(image):
    one = raster(image, WINDOWS)
    found = GpuProcesses(build_smooth, [CPU, CPU], 2, 1).run(tasks(one))
    assert contents(found) == contents(engine(smooth).run(tasks(one)))


def build_smooth(device):
    torch.set_num_threads(1)
    return smooth


@pytest.mark.gpu
def test_a_gpu_gives_the_labels_of_the_cpu(image):
    device = torch.device("cuda", 0)
    one = raster(image, WINDOWS)

    def on_gpu(chips):
        images = torch.stack([chip.image for chip in chips])
        assert images.is_cuda
        return {"map": torch.nn.functional.avg_pool2d(images, 3, 1, 1).softmax(1)}

    found = list(GpuEngine(on_gpu, device).run(tasks(one)))
    expected = list(engine(smooth).run(tasks(one)))
    for (_, ours), (_, theirs) in zip(found, expected, strict=True):
        for key in theirs.inner:
            assert (ours.inner[key] == theirs.inner[key]).mean() > 0.99


def test_budgets_know_their_device():
    assert budgets.Budget(3, 7).on(torch.zeros(1)) == 3
    assert budgets.Budget(3).on(torch.zeros(1)) == 3
    on_a_gpu = SimpleNamespace(is_cuda=True)
    assert budgets.Budget(3, 7).on(on_a_gpu) == 7
    assert budgets.Budget(3).on(on_a_gpu) == 3
