"""What shells are told may follow: commands, keys and choices, without torch."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mapsr.cli.candidates import candidates
from mapsr.cli.help import command_settings
from mapsr.cli.main import main, parser
from mapsr.cli.outline import fields_of, kinds_of
from mapsr.settings import CHOICES, groups_of

SHELLS = Path(__file__).parents[2] / "mapsr" / "cli" / "shells"


def after(line):
    """What may stand in place of the last word of a line."""
    return candidates(parser(), line.split(" ")[1:])


def test_the_source_says_of_commands_what_the_classes_are():
    for command, cls in command_settings().items():
        found = fields_of(command)
        assert {*found} == {one.name for one in dataclasses.fields(cls)}, command
        assert {name for name, one in found.items() if one.group} == set(groups_of(cls)), command


def test_the_source_says_of_groups_what_the_classes_are():
    command_settings()
    own = {
        group: {kind: cls for kind, cls in kinds.items() if cls.__module__.startswith("mapsr.")}
        for group, kinds in CHOICES.items()
    }
    assert len(own) > 10
    for group, kinds in own.items():
        found = kinds_of(group)
        assert found.keys() == kinds.keys(), group
        for kind, cls in kinds.items():
            assert {*found[kind]} == {one.name for one in dataclasses.fields(cls)}, (group, kind)


def test_commands_and_options():
    assert after("mapsr ")[:3] == ["run", "runs", "map"]
    assert after("mapsr sc") == ["score"]
    assert after("mapsr weights ") == ["list", "fetch", "check"]
    assert after("mapsr run --s") == ["--show"]
    assert after("mapsr table --dry-run --fo") == ["--folder"]
    assert after("mapsr bench upsample --device ") == ["cpu", "cuda"]
    assert after("mapsr table --folder ") == []  # a path
    assert after("mapsr nonsense ") == after("mapsr ")


def test_keys_are_those_of_the_command_and_offered_once():
    assert "aoi=" in after("mapsr map ") and "aoi=" not in after("mapsr run ")
    assert after("mapsr map mo") == ["mosaic="]
    assert after("mapsr map mosaic=true mo") == []
    assert after("mapsr preview mo") == ["mosaic="]
    areas = after("mapsr areas map.tif ")
    assert "zones=" in areas and "map=" not in areas  # it is given by place
    assert "runs" not in areas
    assert {"truth=", "out="} <= {*after("mapsr compare ")}
    assert not {"maps=", "paths="} & {*after("mapsr compare ")}
    assert after("mapsr data fetch chesapeake st") == ["states="]
    assert "coarse=" not in after("mapsr doctor ") and "legend=" in after("mapsr doctor ")


def test_keys_of_a_group_are_those_of_the_kind_that_was_chosen():
    assert {"prompts=", "prompts."} <= {*after("mapsr run pro")}
    every = after("mapsr run prompts.")
    assert {"prompts.temperature=", "prompts.learning_rate="} <= {*every}
    em = after("mapsr run prompts=em prompts.")
    assert "prompts.temperature=" in em and "prompts.learning_rate=" not in em
    assert after("mapsr run windows.ov") == ["windows.overlap="]


def test_values_are_choices_truths_and_legends():
    assert after("mapsr run prompts=") == [
        f"prompts={one}" for one in ("em", "paper", "released", "truth")
    ]
    assert after("mapsr run method=mapsr,kme") == ["method=mapsr,kmeans_voting"]
    assert after("mapsr run experiment=patches_c") == [
        "experiment=patches_cross",
        "experiment=patches_cross_em",
    ]
    assert after("mapsr map confidence=t") == ["confidence=true"]
    assert after("mapsr map legend.coarse=nl") == ["legend.coarse=nlcd"]
    assert after("mapsr areas map.tif product_legend=esa") == ["product_legend=esa_worldcover"]
    assert after("mapsr label registry=west") == ["registry=west_virginia"]
    assert after("mapsr map image=") == []  # a path
    assert after("mapsr run data.coarse=") == []  # a path, not a legend
    assert after("mapsr run seed=") == []


def test_names_by_place():
    assert "table1_patches" in after("mapsr table table1")
    assert after("mapsr table table1 table") == []
    assert after("mapsr weights fetch dinov2_vitb14 anyup_p") == ["anyup_paper"]
    assert after("mapsr completion z") == ["zsh"]
    assert {"areas", "prompts"} <= {*after("mapsr help ")}
    assert after("mapsr data fetch ") == ["chesapeake", "root=", "states="]


def test_choices_of_plug_ins_are_offered(tmp_path, monkeypatch):
    package, info = tmp_path / "mapsr_colours", tmp_path / "mapsr_colours-1.0.dist-info"
    (package / "conf" / "method").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ValueError('nobody imports it')\n")
    (package / "conf" / "method" / "mean_colour.yaml").write_text("")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mapsr-colours\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mapsr.plugins]\ncolours = mapsr_colours\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert after("mapsr run method=mean") == ["method=mean_colour"]


def test_a_word_of_no_command_offers_nothing():
    assert candidates(parser(), []) == after("mapsr ")
    assert after("mapsr run nokey=") == []
    assert after("mapsr run prompts.nokey=") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_is_printed_as_it_is(shell, capsys):
    assert main(["completion", shell]) == 0
    said = capsys.readouterr().out
    assert said == (SHELLS / f"mapsr.{shell}").read_text()
    assert "completion words" in said


def test_the_words_so_far_are_taken_as_they_are(capsys):
    assert main(["completion", "words", "run", "--show", "prompts=e"]) == 0
    assert capsys.readouterr().out == "prompts=em\n"
    assert main(["completion", "words", "-v", "sc"]) == 0
    assert capsys.readouterr().out == "score\n"


BASH = """
source mapsr.bash
mapsr() { "$PYTHON" -X importtime -m mapsr "$@" 2>> "$SEEN"; }
ask() {
    COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
    _mapsr
    printf '%s;' "${COMPREPLY[@]}"
}
ask 'mapsr run prompts=e'
ask 'mapsr run prompts=em prompts.temp'
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_after_the_equals_sign_and_torch_is_not_imported(tmp_path):
    done = subprocess.run(
        ["bash", "-c", BASH],
        cwd=SHELLS,
        env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "SEEN": str(tmp_path / "seen")}
        | {"PYTHONPATH": str(SHELLS.parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    # readline takes what follows the = for the word
    assert done.stdout == "em;prompts.temperature=;"
    imported = (tmp_path / "seen").read_text()
    assert "mapsr.cli.candidates" in imported
    assert not [
        name for name in ("torch", "numpy", "hydra", "rasterio") if f" {name}\n" in imported
    ]
