import contextlib
import gc
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
import rasterio
import torch
from make_rasters import EVERY, LEGEND, engine, grid, image_file, job, noise_file, pixelwise

import mapsr.mapping.jobs
from mapsr.errors import ConfigError, RasterError
from mapsr.geo import WindowSettings, read_tags, write_raster
from mapsr.mapping import Output, assembly, local, run_jobs
from mapsr.mapping.blend import UnitBlend, UnitResult
from mapsr.mapping.engines import ScoredBatch, UnitTask
from mapsr.mapping.jobs import JOB_TAG
from mapsr.progress import Quiet

SIZE = (33, 47)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return noise_file(tmp_path_factory.mktemp("jobs") / "image.tif", *SIZE)


@pytest.fixture(scope="module")
def whole(image, tmp_path_factory):
    """The files of a job that nothing disturbed, by name."""
    out = tmp_path_factory.mktemp("whole") / "map.tif"
    [report] = run_jobs([job(image, out)], engine(), Quiet())
    assert report.error is None and report.fresh and report.resumed == 0
    return {path.name: path.read_bytes() for path in out.parent.iterdir()}


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def failing_at(call, error=KeyboardInterrupt):
    """A score that raises at its n-th call, from 1, and counts."""
    lock, calls = threading.Lock(), []

    def score(chips):
        with lock:
            calls.append(chips)
            if len(calls) == call:
                raise error
        return pixelwise(chips)

    score.calls = calls
    return score


def test_the_files_of_a_job(whole, image, tmp_path):
    out = tmp_path / "maps" / "map.tif"
    run_jobs([job(image, out)], engine(), Quiet())
    names = {"map.tif", "map.tif.aux.xml", "map.qml", "map_scores.tif"}
    names |= {"map_confidence.tif", "map_confidence.qml"}
    assert set(files(out.parent)) == set(whole) == names
    assert files(out.parent) == whole
    values = read(image) / np.float32(255)
    np.testing.assert_allclose(read(out.with_name("map_scores.tif")), values, rtol=1e-5)
    best, second = torch.from_numpy(values).topk(2, dim=0).values
    clear = (best - second).numpy() > 1e-5
    assert (read(out)[0] == values.argmax(0))[clear].all()
    with rasterio.open(out.with_name("map_scores.tif")) as dataset:
        assert dataset.descriptions == LEGEND.names


def test_resumed_after_a_failure_at_any_chip_the_files_are_the_same(whole, image, tmp_path):
    out = tmp_path / "map.tif"
    counter = failing_at(0)
    run_jobs([job(image, out)], engine(counter), Quiet())
    chips = len(counter.calls)
    assert chips > 12
    resumed = set()
    for call in range(1, chips + 1):
        out = tmp_path / str(call) / "map.tif"
        with pytest.raises(KeyboardInterrupt):
            run_jobs([job(image, out)], engine(failing_at(call)), Quiet())
        assert files(out.parent) == {}, call
        counter = failing_at(0)
        [report] = run_jobs([job(image, out)], engine(counter), Quiet())
        assert report.error is None and report.fresh
        assert files(out.parent) == whole, call
        assert [path.name for path in out.parent.iterdir() if path.is_dir()] == []
        assert (len(counter.calls) < chips) == (report.resumed > 0)
        resumed.add(report.resumed)
    assert resumed == set(range(len(job(image, out).raster.plan)))


def test_many_failures_in_a_row_come_to_the_same_end(whole, image, tmp_path):
    out = tmp_path / "map.tif"
    for _ in range(40):
        with contextlib.suppress(KeyboardInterrupt):
            run_jobs([job(image, out)], engine(failing_at(6), workers=2), Quiet())
            break
        assert files(tmp_path) == {}
    assert files(tmp_path) == whole


@pytest.mark.parametrize(
    ("step", "call"),
    [
        *(("window_writer", call) for call in (1, 2, 3)),
        *(("write_cog", call) for call in (1, 2, 3)),
        ("write_sidecars", 1),
        *(("publish", call) for call in (1, 2, 3)),
    ],
)
def test_a_kill_while_the_files_are_put_together(whole, image, tmp_path, monkeypatch, step, call):
    calls, real = [], getattr(assembly, step)

    def failing(*arguments, **options):
        calls.append(arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    out = tmp_path / "map.tif"
    with monkeypatch.context() as patch:
        patch.setattr(assembly, step, failing)
        with pytest.raises(KeyboardInterrupt):
            run_jobs([job(image, out)], engine(), Quiet())
    assert not out.exists()
    [report] = run_jobs([job(image, out)], engine(failing_at(1)), Quiet())  # nothing to score
    assert report.resumed == len(report.job.raster.plan)
    assert files(tmp_path) == whole


def test_the_labels_are_published_last(image, tmp_path, monkeypatch):
    real, order = assembly.publish, []

    def noting(temporary, path):
        order.append(path.name)
        real(temporary, path)

    monkeypatch.setattr(assembly, "publish", noting)
    run_jobs([job(image, tmp_path / "map.tif", outputs=EVERY)], engine(), Quiet())
    assert sorted(order) == ["map.tif", "map_confidence.tif", "map_scores.tif"]
    assert order[-1] == "map.tif"


def test_the_same_job_again_does_nothing(image, tmp_path):
    out = tmp_path / "map.tif"
    run_jobs([job(image, out)], engine(), Quiet())
    before = files(tmp_path)
    score = failing_at(0)
    [report] = run_jobs([job(image, out)], engine(score), Quiet())
    assert (report.error, report.fresh, score.calls) == (None, False, [])
    assert files(tmp_path) == before and set(tmp_path.iterdir()) == set(
        tmp_path / name for name in before
    )
    assert read_tags(out)[JOB_TAG] == job(image, out).hash


@pytest.mark.parametrize("foreign", ["text", "raster", "other job"])
def test_a_foreign_file_is_never_replaced_unasked(image, tmp_path, foreign):
    out = tmp_path / "map.tif"
    if foreign == "text":
        out.write_bytes(b"precious")
    elif foreign == "raster":
        write_raster(out, np.ones((3, 4), np.uint8), grid(3, 4))
    else:
        run_jobs([job(image, out, about={"seed": 1}, outputs=[Output()])], engine(), Quiet())
    before = out.read_bytes()
    [report] = run_jobs([job(image, out)], engine(failing_at(1)), Quiet())
    assert isinstance(report.error, ConfigError)
    assert f"{out} is there already, made from other inputs or settings" in str(report.error)
    assert out.read_bytes() == before
    assert not (tmp_path / ".map.tif.work").exists()
    [report] = run_jobs([job(image, out, overwrite=True)], engine(), Quiet())
    assert report.error is None and read(out).shape == (1, *SIZE)


def test_a_foreign_side_output_is_never_replaced_unasked(image, tmp_path):
    (tmp_path / "map_scores.tif").write_bytes(b"precious")
    [report] = run_jobs([job(image, tmp_path / "map.tif")], engine(failing_at(1)), Quiet())
    assert "map_scores.tif is there already" in str(report.error)
    assert files(tmp_path) == {"map_scores.tif": b"precious"}


def test_overwriting_keeps_the_old_map_until_the_new_one_is_whole(whole, image, tmp_path):
    out = tmp_path / "map.tif"
    out.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job(image, out, overwrite=True)], engine(failing_at(9)), Quiet())
    assert out.read_bytes() == b"old"
    [report] = run_jobs([job(image, out, overwrite=True)], engine(), Quiet())
    assert report.resumed > 0 and files(tmp_path) == whole


def test_restart_takes_nothing_over(whole, image, tmp_path):
    """Prompts may be others though all that the job names is the same."""
    out = tmp_path / "map.tif"

    def other(chips):
        return {"map": 1 - pixelwise(chips)["map"]}

    lately = failing_at(9)
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job(image, out)], engine(lambda chips: lately(chips) and other(chips)), Quiet())
    [report] = run_jobs([job(image, out, restart=True)], engine(), Quiet())
    assert report.resumed == 0
    assert files(tmp_path) == whole


def test_a_changed_job_is_refused(image, tmp_path):
    out = tmp_path / "map.tif"
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job(image, out)], engine(failing_at(9)), Quiet())
    [report] = run_jobs([job(image, out, about={"seed": 4})], engine(failing_at(1)), Quiet())
    assert isinstance(report.error, ConfigError)
    assert "holds the beginning of another map.tif: seed is 4, was 0." in str(report.error)
    [report] = run_jobs([job(image, out, about={"seed": 4}, restart=True)], engine(), Quiet())
    assert report.error is None and report.resumed == 0


def test_a_folder_at_the_output_is_refused(image, tmp_path):
    (tmp_path / "map.tif").mkdir()
    [report] = run_jobs([job(image, tmp_path / "map.tif")], engine(failing_at(1)), Quiet())
    assert "map.tif is a folder; choose another out=." in str(report.error)


def test_a_unit_is_not_taken_for_the_failed_one_whose_memory_it_got(image, tmp_path):
    # it was left out, and no word was said of its map
    raster = job(image, tmp_path / "map.tif").raster
    task, good = UnitTask(0, raster, raster.units[0]), Future()
    good.set_result(ScoredBatch((), torch.zeros(0, 1, 1), {}))
    taker = local._Taker()
    for _ in range(10):  # whether memory is given out again at once is chance
        bad, blend = Future(), UnitBlend(raster.plan, task.unit)
        bad.set_exception(RasterError("broken"))
        assert len(list(taker.take(local._Step(task, blend, bad, True)))) == 1
        assert list(taker.take(local._Step(task, blend, good, True))) == []
        del blend, bad
        gc.collect()  # an error holds the frame that held the unit
        for other in [UnitBlend(raster.plan, task.unit) for _ in range(20)]:
            [(_, result)] = taker.take(local._Step(task, other, good, True))
            assert isinstance(result, UnitResult)


def test_one_failure_leaves_the_other_jobs_alone(whole, image, tmp_path):
    broken = noise_file(tmp_path / "broken.tif", *SIZE)
    spoiled = job(broken, tmp_path / "one" / "map.tif")
    broken.write_bytes(broken.read_bytes()[:2000])
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "map.tif").write_bytes(b"precious")
    every = [
        spoiled,
        job(image, tmp_path / "two" / "map.tif"),
        job(image, tmp_path / "three" / "map.tif"),
        job(image, tmp_path / "three" / "map.tif"),  # as the one before it
    ]
    reports = run_jobs(every, engine(workers=2), Quiet())
    assert [report.job for report in reports] == every
    assert isinstance(reports[0].error, RasterError) and "broken.tif" in str(reports[0].error)
    assert "is there already" in str(reports[1].error)
    assert reports[2].error is None
    assert "is working on" in str(reports[3].error)
    assert files(tmp_path / "three") == whole
    assert files(tmp_path / "one") == {}


def test_finished_maps_piled_up_with_their_files_open(tmp_path, monkeypatch):
    images = [noise_file(tmp_path / f"{number}.tif", 9, 11) for number in range(40)]
    most, put = [], assembly.assemble

    def slow(*parts, **given):
        time.sleep(0.02)  # while others are scored
        most.append(len([*tmp_path.glob("maps/.*.work/.lock")]))
        put(*parts, **given)

    monkeypatch.setattr(mapsr.mapping.jobs, "assemble", slow)
    jobs = [job(one, tmp_path / "maps" / one.name) for one in images]
    assert all(report.error is None for report in run_jobs(jobs, engine(), Quiet()))
    assert max(most) <= 16


def test_a_damaged_unit_is_scored_again(whole, image, tmp_path):
    out = tmp_path / "map.tif"
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job(image, out)], engine(failing_at(14)), Quiet())
    first = tmp_path / ".map.tif.work" / "unit-00000000.npz"
    first.write_bytes(first.read_bytes()[:100])
    [report] = run_jobs([job(image, out)], engine(), Quiet())
    assert "unit-00000000.npz is damaged" in str(report.error)
    assert files(tmp_path) == {}
    score = failing_at(0)
    [report] = run_jobs([job(image, out)], engine(score), Quiet())
    assert report.error is None and len(score.calls) <= 4
    assert files(tmp_path) == whole


def test_a_fault_of_the_score_is_not_swallowed(image, tmp_path):
    with pytest.raises(RuntimeError, match="broken"):
        run_jobs(
            [job(image, tmp_path / "map.tif")],
            engine(failing_at(3, RuntimeError("broken"))),
            Quiet(),
        )
    assert files(tmp_path) == {}


def test_a_raster_without_any_data(tmp_path):
    path = image_file(tmp_path / "empty.tif", np.zeros((3, 13, 21), np.uint8), nodata=0)
    [report] = run_jobs([job(path, tmp_path / "map.tif")], engine(failing_at(1)), Quiet())
    assert report.error is None
    assert (read(tmp_path / "map.tif") == 255).all()
    assert np.isnan(read(tmp_path / "map_scores.tif")).all()
    assert read(tmp_path / "map_scores.tif").shape == (3, 13, 21)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (10, 10)])
def test_rasters_of_any_size(tmp_path, size):
    path = noise_file(tmp_path / "image.tif", *size)
    out = tmp_path / "map.tif"
    run_jobs([job(path, out, WindowSettings(10, 9, 12), [Output()])], engine(), Quiet())
    assert (read(out)[0] == read(path).argmax(0)).mean() > 0.95  # but for ties
    assert read(out).shape == (1, *size)


def test_every_unit_is_counted_once(image, tmp_path):
    counts = []

    class Counting:
        def track(self, items, what, total):
            count = 0
            for item in items:
                count += 1
                yield item
            counts.append((what, count, total))

    out = tmp_path / "map.tif"
    total = len(job(image, out).raster.plan)
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job(image, out)], engine(failing_at(9)), Counting())
    run_jobs([job(image, out)], engine(), Counting())
    run_jobs([job(image, out), job(image, tmp_path / "b.tif")], engine(), Counting())
    assert counts == [("map", total, total), ("map", 2 * total, 2 * total)]
