"""The command line's door: help without torch, errors as one sentence."""

import subprocess
import sys
import tempfile

import pytest

import mapsr
from mapsr.cli import run
from mapsr.cli.main import main
from mapsr.errors import MapsrError

COMMANDS = [
    *("", "run", "map", "table", "bench", "bench upsample", "bench map", "bench fit", "data"),
    *("data fetch", "data check", "weights", "weights fetch", "cache", "cache clear", "doctor"),
    *("label", "areas", "score", "sample", "change", "compare", "sieve", "vectors", "page", "runs"),
    "preview",
    *("help", "bench label", "completion"),
]
# runs `python -m mapsr ... --help` and says on the last line which heavy package came in
HELP = """
import runpy, sys
sys.argv = ["mapsr", *sys.argv[1:], "--help"]
try:
    runpy.run_module("mapsr", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
print([name for name in ("torch", "rasterio", "hydra", "timm", "wandb") if name in sys.modules])
"""


def test_every_command_is_asked_for_help():
    from mapsr.cli.main import _COMMANDS

    named = {command.__name__.rpartition(".")[2] for command in _COMMANDS}
    assert named == {command.split()[0] for command in COMMANDS if command}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_without_torch(command):
    done = subprocess.run(
        [sys.executable, "-c", HELP, *command.split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(f"usage: mapsr {command}".rstrip())
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == ""


def test_commands_do_not_wait_for_what_reads_vectors():
    # every module of geo was imported to look for choices: a second more for each command
    asked = (
        "import sys\nfrom mapsr.plugins import load_choices\nload_choices()\n"
        "print([name for name in ('pyogrio', 'geopandas', 'shapely') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_map_waited_for_what_trains_and_judges():
    # Lightning and torchmetrics bring torchvision and torch's compiler: three times the start
    asked = (
        "import sys\nimport mapsr.cli.compose, mapsr.region, mapsr.experiment, mapsr.plugins\n"
        "mapsr.plugins.load_choices()\n"
        "late = 'lightning', 'torchmetrics', 'torchvision', 'torch._dynamo', 'timm', 'matplotlib'\n"
        "print([name for name in (*late, 'wandb', 'pynndescent') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("arguments", [["mapp"], [], ["run", "--nonsense"], ["bench"]])
def test_what_argparse_refuses_exits_with_two(arguments, capsys):
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("usage: mapsr")


def test_the_version(capsys):
    with pytest.raises(SystemExit) as raised:
        main(["--version"])
    assert raised.value.code == 0
    assert capsys.readouterr().out == f"mapsr {mapsr.__version__}\n"


@pytest.mark.parametrize(
    ("raised", "status", "err"),
    [
        (MapsrError("The cat is not a raster."), 1, "error: The cat is not a raster.\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_an_error_is_one_sentence(monkeypatch, capsys, raised, status, err):
    def broken(arguments):
        raise raised

    monkeypatch.setattr(run, "main", broken)
    assert main(["run"]) == status
    assert capsys.readouterr() == ("", err)


def test_a_fault_of_ours_keeps_its_trace(monkeypatch, tmp_path, capsys):
    def broken(arguments):
        raise KeyError("a bug")

    monkeypatch.setattr(run, "main", broken)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main(["run"]) == 1
    out, err = capsys.readouterr()
    (file,) = tmp_path.iterdir()
    assert out == ""
    assert err == (
        "error: mapsr met an error that it does not expect (KeyError: 'a bug'); please report it "
        f"with its trace, which is in {file}.\n"
    )
    assert "raise KeyError" in file.read_text()


def test_an_error_in_a_process_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "mapsr", "run", "--show", "sead=1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "error: Unknown key 'sead'. Did you mean 'seed'?\n"


def test_settings_are_known_to_map_in_a_process_of_its_own(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mapsr", "map", "--show", f"fitted={tmp_path}", "image=a", "out=b"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: There is no fitted method in ")
