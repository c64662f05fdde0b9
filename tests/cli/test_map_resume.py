"""`mapsr map` that is cut off: the same command goes on, and ends in the same file."""

import os
import signal
import subprocess
import sys
import time

import pytest
from make_maps import QUICK_FIT, UNITS, finished_run, fitted, labels_of, mapped

from mapsr.cli.main import main
from mapsr.mapping import store
from mapsr.methods import FittedMethod, MapSR

ONE = "engine.workers=1"
posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits as POSIX has them")


@pytest.fixture(scope="module")
def run(scene_folder, tmp_path_factory):
    return finished_run(scene_folder, tmp_path_factory.mktemp("resume") / "run")


@pytest.fixture(scope="module")
def image(scene_folder):
    return scene_folder / "val" / "village_naip.tif"


@pytest.fixture(scope="module")
def whole(run, image, tmp_path_factory):
    """The file of a command that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "map.tif"
    assert mapped(run, image, out) == 0
    return out.read_bytes()


@pytest.fixture
def interrupted(monkeypatch):
    """Runs a command and interrupts it when the n-th chip is scored."""

    def command(call, *arguments, by=mapped):
        score, calls = MapSR.score, []

        def failing(self, chips, **kind):
            calls.append(chips)
            if len(calls) >= call:
                raise KeyboardInterrupt
            return score(self, chips, **kind)

        with monkeypatch.context() as patch:
            patch.setattr(MapSR, "score", failing)
            assert by(*arguments) == 130

    return command


FILES = ["map.qml", "map.tif", "map.tif.aux.xml", "map_log.txt", "map_record.json"]
"""What a map comes with."""


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("call", [1, 2, 5, UNITS])
def test_the_same_command_goes_on(run, image, tmp_path, capsys, whole, interrupted, call):
    out = tmp_path / "map.tif"
    interrupted(call, run, image, out, ONE)
    assert visible(tmp_path) == []
    assert "interrupted" in capsys.readouterr().err
    assert mapped(run, image, out, ONE) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"map in {out}\n")
    assert (f"going on, {call - 1} of {UNITS} units are done" in shown.err) == (call > 1)
    assert out.read_bytes() == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == FILES


def test_other_workers_may_go_on(run, image, tmp_path, whole, interrupted):
    out = tmp_path / "map.tif"
    interrupted(4, run, image, out, ONE)
    assert mapped(run, image, out, "engine.workers=3", "compute.batch=2") == 0
    assert out.read_bytes() == whole


def test_the_same_command_again_finds_its_map(run, image, tmp_path, capsys, whole):
    out = tmp_path / "map.tif"
    assert mapped(run, image, out) == 0
    capsys.readouterr()
    assert mapped(run, image, out) == 0
    assert capsys.readouterr().out.startswith(f"map in {out} (made before, by the same command)\n")
    assert out.read_bytes() == whole


def test_a_list_goes_on_with_what_is_missing(run, scene_folder, tmp_path, capsys, interrupted):
    every, out = scene_folder / "*" / "*_naip.tif", tmp_path / "maps"
    interrupted(UNITS + 4, run, every, out, ONE)
    assert mapped(run, every, out, ONE) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert (labels_of(out / "village_naip.tif") == labels_of(run / "maps" / "village.tif")).all()
    assert sorted(path.name for path in out.glob(".*")) == []


def test_fitting_is_not_repeated(scene_folder, tmp_path, capsys, interrupted):
    straight, out = tmp_path / "a" / "map.tif", tmp_path / "b" / "map.tif"
    assert fitted(scene_folder, "village", straight) == 0
    interrupted(3, scene_folder, "village", out, ONE, by=fitted)
    assert visible(out.parent) == ["map.fitted.safetensors"]
    prompts = out.with_name("map.fitted.safetensors")
    made = prompts.stat().st_mtime_ns
    assert fitted(scene_folder, "village", out, ONE) == 0
    assert (
        f"fitted method in {prompts} (fitted before, by the same command)"
        in capsys.readouterr().out
    )
    assert prompts.stat().st_mtime_ns == made
    assert out.read_bytes() == straight.read_bytes()
    assert fitted(scene_folder, "village", out) == 0
    assert capsys.readouterr().out.count("by the same command") == 2


def test_an_interrupted_fit_leaves_nothing(scene_folder, tmp_path, monkeypatch):
    def interrupt(*arguments, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MapSR, "fit", interrupt)
        assert fitted(scene_folder, "village", tmp_path / "map.tif") == 130
    assert list(tmp_path.iterdir()) == []


def test_a_changed_image_is_refused(run, image, tmp_path, capsys, interrupted):
    copy, out = tmp_path / "image.tif", tmp_path / "map.tif"
    copy.write_bytes(image.read_bytes())
    interrupted(4, run, copy, out, ONE)
    copy.write_bytes(image.read_bytes())  # the same, but how should one know
    assert mapped(run, copy, out, ONE) == 1
    err = capsys.readouterr().err
    assert f"holds the beginning of another map.tif: {copy} has changed since then." in err
    assert "Undo that to go on, or set restart=true to begin again." in err
    assert not out.exists()
    assert mapped(run, copy, out, "restart=true") == 0
    assert (labels_of(out) == labels_of(run / "maps" / "village.tif")).all()


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("windows.chip=40", "windows.chip is 40, was 48"),
        ("scale=200", "scale is 200.0, was 255.0"),
        ("scores=true", "outputs is ['map_labels', 'map_scores'], was ['map_labels']"),
        ("refine.alpha=0.3", "refine.alpha is 0.3, was 0.5"),
    ],
)
def test_a_changed_configuration_is_refused(
    run, image, tmp_path, capsys, whole, interrupted, override, reason
):
    out = tmp_path / "map.tif"
    interrupted(4, run, image, out, ONE)
    assert mapped(run, image, out, ONE, override) == 1
    assert f"holds the beginning of another map.tif: {reason}. Undo" in capsys.readouterr().err
    assert mapped(run, image, out, ONE) == 0  # nothing was lost by asking
    assert out.read_bytes() == whole


def test_a_finished_map_of_another_configuration_is_refused(run, image, tmp_path, capsys, whole):
    out = tmp_path / "map.tif"
    assert mapped(run, image, out) == 0
    assert mapped(run, image, out, "windows.chip=40") == 1
    assert "made from other inputs or settings" in capsys.readouterr().err
    assert out.read_bytes() == whole


def test_a_method_that_was_fitted_otherwise_are_refused(scene_folder, tmp_path, capsys):
    out = tmp_path / "map.tif"
    assert fitted(scene_folder, "village", out) == 0
    before = out.read_bytes()
    assert fitted(scene_folder, "village", out, "prompts.epochs=3", "seed=4") == 1
    err = capsys.readouterr().err
    assert "map.fitted.safetensors holds a method that was fitted otherwise:" in err
    assert "seed is 4, was 0" in err and "prompts.epochs is 3, was 2" in err
    assert out.read_bytes() == before
    assert fitted(scene_folder, "village", out, "seed=4", "overwrite=true") == 0
    assert out.read_bytes() != before


def test_a_full_disk_loses_nothing(run, image, tmp_path, capsys, whole):
    """On a real file system of few blocks; wherever it gets full, the end is the same file."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "mapsr", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"file systems can't be mounted here: {error}")
    try:
        failures = 0
        for kib in range(4, 400, 12):
            resize = ["mount", "-o", f"remount,size={kib}k", str(disk)]
            subprocess.run(resize, check=True, capture_output=True)
            status = mapped(run, image, disk / "map.tif", ONE)
            err = capsys.readouterr().err
            assert "Traceback" not in err
            if status == 0:
                break
            failures += 1
            assert "Can't write" in err
            assert not (disk / "map.tif").exists()
        assert status == 0 and failures > 5
        assert (disk / "map.tif").read_bytes() == whole
        assert visible(disk) == FILES
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_while_a_fit_is_saved(scene_folder, tmp_path, capsys, monkeypatch):
    def full(fitted, path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FittedMethod, "save", full)
        assert fitted(scene_folder, "village", tmp_path / "map.tif") == 1
    assert f"Can't write in {tmp_path}: No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_limit_of_the_size_of_files_loses_nothing(run, image, tmp_path, capsys, whole):
    """Files can't grow beyond the limit, which acts as a full disk, with the rights of nobody."""
    import resource  # POSIX alone has it

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    out, failures = tmp_path / "map.tif", 0
    try:
        for size in (500, 2_000, 8_000, 20_000, 60_000, 10_000_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
            status = mapped(run, image, out, ONE)
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            err = capsys.readouterr().err
            assert "Traceback" not in err
            if status == 0:
                break
            failures += 1
            assert "Can't write" in err and not out.exists()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert status == 0 and failures >= 2
    assert out.read_bytes() == whole


@posix
@pytest.mark.soak
def test_killed_processes_lose_nothing_and_never_meet(scene_folder, image, tmp_path, capsys):
    """Real processes, killed at once where they stand; another is refused as long as one lives."""
    coarse = scene_folder / "val" / "village_nlcd_30m.tif"

    def arguments(out):
        tiny = ["windows.chip=24", "windows.overlap=4", "windows.unit=24", ONE]
        given = [f"image={image}", f"coarse={coarse}", f"out={out}"]
        return ["map", *QUICK_FIT[:-4], "legend.coarse=nlcd", *tiny, *given, "refine=none"]

    straight, out = tmp_path / "straight" / "map.tif", tmp_path / "killed" / "map.tif"
    assert main(arguments(straight)) == 0
    work = store.WorkFolder(out).path
    for units in (1, 6, 14):
        with subprocess.Popen(
            [sys.executable, "-m", "mapsr", *arguments(out)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            while process.poll() is None and len([*work.glob("unit-*.npz")]) < units:
                assert not out.exists()
                time.sleep(0.005)
            if process.poll() is None:
                process.send_signal(signal.SIGSTOP)
                assert main(arguments(out)) == 1
                assert "is working on" in capsys.readouterr().err
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert not out.exists()
    assert main(arguments(out)) == 0
    assert "going on, " in capsys.readouterr().err
    assert out.read_bytes() == straight.read_bytes()
    assert sorted(path.name for path in out.parent.iterdir()) == sorted(
        path.name for path in straight.parent.iterdir()
    )
