"""The QGIS plugin: commands, progress, errors and ends without QGIS, and all of it with QGIS."""

import configparser
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import mapsr
from mapsr.cli.console import ConsoleProgress
from mapsr.cli.main import main
from mapsr.legends import legend_names
from mapsr.measure.settings import AreaSettings
from mapsr.pages import PageSettings
from mapsr.region import MapSettings
from mapsr.settings import groups_of, keys_of

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "scripts" / "qgis"
sys.path.insert(0, str(PLUGIN))

from mapsr_provider.commands import (  # noqa: E402
    LEGENDS,
    asked_words,
    child_environment,
    failure_of,
    map_words,
    program_words,
    step_of,
)
from mapsr_provider.running import CommandError, run_command  # noqa: E402
from pack import pack  # noqa: E402

MAP = {
    "image": "a b.tif",
    "coarse": "nlcd.tif",
    "legend.coarse": "nlcd",
    "fitted": "",
    "aoi": "town.gpkg|layername=a",
    "confidence": True,
    "vectors": False,
    "mmu": None,
    "out": "map.tif",
}
QUICK = "prompts.pixels=1000 windows.chip=48 windows.overlap=8 windows.unit=48"


class Shown:
    """Keeps what a dialog would show; cancels once a line holds a word."""

    def __init__(self, cancel_at=None):
        self.percents, self.texts, self.infos, self.warnings = [], [], [], []
        self.cancel_at, self.cancelled = cancel_at, False

    def isCanceled(self):
        return self.cancelled

    def setProgress(self, percent):
        self.percents.append(percent)

    def setProgressText(self, text):
        self.texts.append(text)

    def pushInfo(self, text):
        self.infos.append(text)
        self.cancelled = self.cancelled or (self.cancel_at is not None and self.cancel_at in text)

    def pushWarning(self, text):
        self.warnings.append(text)


def python(code):
    return [sys.executable, "-S", "-c", code]


def test_words_of_a_map():
    assert map_words(MAP, "method=mapsr 'name=a b'") == [
        *("map", "image=a b.tif", "coarse=nlcd.tif", "legend.coarse=nlcd"),
        *("aoi=town.gpkg|layername=a", "confidence=true", "out=map.tif", "method=mapsr"),
        "name=a b",
    ]
    fitted = map_words(MAP | {"fitted": "x.safetensors", "coarse": None})
    assert "fitted=x.safetensors" in fitted
    assert not any(word.startswith("legend.coarse") for word in fitted)
    with pytest.raises(ValueError, match="give a coarse product"):
        map_words(MAP | {"coarse": None})


def test_words_of_what_is_asked_of_a_map():
    values = {"zones": None, "product": None, "product_legend": "nlcd", "csv": "a.csv"}
    assert asked_words("areas", "m.tif", values) == ["areas", "m.tif", "csv=a.csv"]
    values |= {"product": "p.tif"}
    assert "product_legend=nlcd" in asked_words("areas", "m.tif", values)
    assert asked_words("page", "m.tif", {"out": "m.html"}) == ["page", "m.tif", "out=m.html"]


def test_keys_and_legends_are_those_of_mapsr():
    text = (PLUGIN / "mapsr_provider" / "algorithms.py").read_text()
    for cls, keys in (
        (MapSettings, [*MAP, "overwrite"]),
        (AreaSettings, ["zones", "product", "product_legend", "csv"]),
        (PageSettings, ["image", "product", "product_legend", "out"]),
    ):
        known = {*keys_of(cls), *groups_of(cls)}
        assert {key.partition(".")[0] for key in keys} <= known
        assert all(f'"{key}":' in text for key in keys)
    assert set(LEGENDS) <= set(legend_names())


def test_a_command_is_a_path_or_words(tmp_path):
    path = tmp_path / "my programs" / "mapsr"
    path.parent.mkdir()
    path.write_text("")
    assert program_words(f" {path} ") == [str(path)]
    assert program_words("conda run -n gis mapsr") == ["conda", "run", "-n", "gis", "mapsr"]
    for wrong in ("", '"mapsr'):
        with pytest.raises(ValueError, match=r"empty|quotation"):
            program_words(wrong)


def test_lines_of_the_console_are_understood(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("mapsr.cli.console.time.monotonic", lambda: now[0])
    for _ in ConsoleProgress().track(range(4), "map", 4):
        now[0] += 11
    steps = [step_of(line) for line in capsys.readouterr().err.splitlines()]
    assert [step.percent for step in steps] == [0, 25, 50, 75, 100]
    assert steps[1].text == "map: 1 of 4, about 33 s left"
    assert steps[-1].text == "map: 4 of 4, in 44.0 s"
    assert step_of("fetching, MiB: 1/2").percent == 50
    for other in ("map in a/b.tif", "WARNING: 3/4 of it", "map: 0/0", "", "error: no"):
        assert step_of(other) is None


def test_a_failure_is_the_sentence_that_the_command_said():
    lines = ["map: 1/2", "error: Can't read a.tif.", "map: 1/2 in 1.0 s"]
    assert failure_of(1, lines) == "Can't read a.tif."
    assert failure_of(2, ["usage: mapsr", ""]) == "mapsr ended with status 2: usage: mapsr"
    assert failure_of(-9, []) == "mapsr ended by signal 9 and said nothing."


def test_libraries_of_qgis_stay_with_qgis():
    own = {"PATH": "/bin", "PYTHONHOME": "/qgis", "PROJ_LIB": "/qgis/proj", "HOME": "/home/a"}
    assert child_environment(own) == {
        **{"PATH": "/bin", "HOME": "/home/a"},
        **{"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"},
    }


def test_output_of_a_command_is_shown():
    said = ["map: 0/2", "map: 1/2, about 3 s left", "WARNING: too large", "map in m.tif"]
    shown = Shown()
    assert run_command(python(f"print({chr(10).join(said)!r})"), shown)
    assert shown.percents == [0, 50]
    assert shown.texts[-1] == "map: 1 of 2, about 3 s left"
    assert (shown.infos, shown.warnings) == (["map in m.tif"], ["WARNING: too large"])
    with pytest.raises(CommandError, match=r"^No such image\.$"):
        run_command(python("print('error: No such image.'); raise SystemExit(1)"), Shown())
    with pytest.raises(CommandError, match=r"'/no/mapsr' can't be started .*Providers, mapsr"):
        run_command(["/no/mapsr"], Shown())


@pytest.mark.skipif(os.name != "posix", reason="signals and process groups are POSIX's")
def test_cancelling_ends_a_command_and_what_it_started(tmp_path):
    # a child of the child kept on computing, and one that heeds no signal kept the dialog open
    code = (
        "import os, signal, subprocess, sys, time\n"
        "heeds = sys.argv[1] == 'heeds'\n"
        "note = lambda *_: (open(sys.argv[2], 'w').write('ended'), sys.exit(143))\n"
        "signal.signal(signal.SIGTERM, note if heeds else signal.SIG_IGN)\n"
        "inner = subprocess.Popen(['sleep', '600'])\n"
        "print('started', inner.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    for kind in ("heeds", "deaf"):
        shown, end = Shown(cancel_at="started"), tmp_path / kind
        words = [*python(code), kind, str(end)]
        assert run_command(words, shown, grace_s=0.3 if kind == "deaf" else 30) is False
        assert end.exists() == (kind == "heeds")
        inner = int(shown.infos[0].split()[1])
        for _ in range(100):  # it is reaped by whoever adopts it
            state = Path(f"/proc/{inner}/stat")
            if not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                break
            time.sleep(0.02)
        else:
            pytest.fail("what the command started goes on")


def test_the_zip_is_a_plugin_and_the_same_each_time(tmp_path):
    names = pack(tmp_path / "a.zip")
    assert pack(tmp_path / "b.zip") == names
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert {name.split("/")[0] for name in names} == {"mapsr_provider"}
    assert {"mapsr_provider/__init__.py", "mapsr_provider/LICENSE"} <= set(names)
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        text = packed.read("mapsr_provider/metadata.txt").decode()
    told = configparser.ConfigParser()
    told.read_string(text)
    assert told["general"]["version"] == mapsr.__version__
    assert told["general"]["hasProcessingProvider"] == "yes"
    for key in ("name", "description", "about", "author", "email", "qgisMinimumVersion"):
        assert told["general"][key]


def test_the_words_make_a_map_its_areas_and_its_page(scene_folder, tmp_path):
    image = scene_folder / "train" / "field_naip.tif"
    coarse = scene_folder / "train" / "field_nlcd_30m.tif"
    out = tmp_path / "a map.tif"
    values = MAP | {"image": str(image), "coarse": str(coarse), "out": str(out), "aoi": None}
    assert main(map_words(values, QUICK)) == 0
    asked = {"product": str(coarse), "product_legend": "nlcd", "csv": str(tmp_path / "a.csv")}
    assert main(asked_words("areas", str(out), asked)) == 0
    assert (tmp_path / "a.csv").read_text().count("\n") > 4
    assert main(asked_words("page", str(out), {"out": str(tmp_path / "a.html")})) == 0
    assert (tmp_path / "a.html").stat().st_size > 10_000


def qgis_python():
    """A Python that has QGIS, or the reason why there is none."""
    found = os.environ.get("QGIS_PYTHON", "/usr/bin/python3")
    asked = "import qgis.core, sys; sys.path.append('/usr/share/qgis/python/plugins')"
    try:
        done = subprocess.run(
            [found, "-c", asked], capture_output=True, text=True, check=False, env=_offscreen()
        )
    except OSError as error:
        return None, f"{found} can't be started ({error.strerror}); QGIS_PYTHON names another"
    last = done.stderr.strip().splitlines()[-1:] or ["?"]
    return (found, "") if done.returncode == 0 else (None, f"{found} has no QGIS ({last[0]})")


def _offscreen():
    return os.environ | {"QT_QPA_PLATFORM": "offscreen"}


def test_the_provider_works_in_qgis(scene_folder, tmp_path):
    found, reason = qgis_python()
    if found is None:
        pytest.skip(f"{reason}: apt-get install python3-qgis")
    # the command of the setting: mapsr of this environment, with quick settings
    command = tmp_path / "mapsr"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m mapsr "$@"\n')
    command.chmod(0o755)
    words = [
        *(str(PLUGIN), str(command), str(scene_folder / "train" / "field_naip.tif")),
        *(str(scene_folder / "train" / "field_nlcd_30m.tif"), str(tmp_path), QUICK),
    ]
    script = Path(__file__).with_name("in_qgis.py")
    done = subprocess.run(
        [found, str(script), *words],
        capture_output=True,
        text=True,
        check=False,
        env=_offscreen() | {"HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["algorithms"] == ["mapsr:areas", "mapsr:map", "mapsr:page"]
    assert told["missing"].startswith("'/no/mapsr' can't be started")
    assert told["refused"].endswith("give a coarse product to fit a method on, or a fitted method.")
    assert told["map"] == {"bands": 1, "renderer": "paletted", "classes": 4}
    assert told["confidence"] == "singlebandpseudocolor"
    assert told["progress"] == 100
    assert told["areas"] > 4 and told["page"] > 10_000
