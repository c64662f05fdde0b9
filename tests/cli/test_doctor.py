import argparse
import builtins
import dataclasses
import hashlib
from importlib import metadata

import pytest

from mapsr import weights
from mapsr.cli import doctor
from mapsr.doctor import machine


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch, tmp_path):
    """No weights and no account."""
    for name in ("MAPSR_WEIGHTS", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def run():
    parser = argparse.ArgumentParser(prog="mapsr")
    doctor.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["doctor"])
    return arguments.run(arguments)


def break_import(monkeypatch, broken):
    """Let the import of one package fail, as with a library that does not fit the machine."""
    normal = builtins.__import__

    def guarded(name, *rest):
        if name == broken:
            raise ImportError(f"lib{broken}.so: cannot open")
        return normal(name, *rest)

    monkeypatch.setattr(builtins, "__import__", guarded)


def test_a_bare_machine_can_run_the_default(capsys):
    assert run() == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = dict(line.split("  ", 1) for line in out.splitlines() if "  " in line)
    found = {topic.strip(): text.strip() for topic, text in lines.items()}
    assert "GTiff, COG" in found["gdal"]
    assert "numpy" in found["packages"]
    assert "cpu with" in found["torch"]
    assert found["memory"].endswith("GiB")
    assert found["wandb"].endswith("logger.mode=online needs `wandb login` or WANDB_API_KEY")
    assert found["weights dinov2_vitb14"] == "absent; `mapsr weights fetch dinov2_vitb14`"
    assert found["backbones"] == "texture"
    assert found["upsamplers"] == "bilateral, bilinear, nearest"
    # those that start from random numbers
    alike = "deeplabv3plus, hrnet, l2hnet, l2hnet_original, pspnet, segformer, swin, unet, "
    assert found["networks"] == f"{alike}unet_small, vit"
    assert out.endswith("`mapsr run` works here\n")


def test_weights_that_are_here_widen_the_choice(monkeypatch, tmp_path, capsys):
    (tmp_path / "vit_tiny_patch16_224.safetensors").write_bytes(b"whole")
    (tmp_path / "anyup_paper.pth").write_bytes(b"whole")
    digest = hashlib.sha256(b"whole").hexdigest()
    entry = weights.Weights("anyup_paper", "anyup_paper.pth", "u", None, digest, "l", "s", 1)
    monkeypatch.setitem(weights.REGISTRY, "anyup_paper", entry)
    tiny = dataclasses.replace(weights.entry("vit_tiny"), sha256=digest)
    monkeypatch.setitem(weights.REGISTRY, "vit_tiny", tiny)
    monkeypatch.setenv("MAPSR_WEIGHTS", str(tmp_path))
    assert run() == 0
    out = capsys.readouterr().out
    assert "texture, vit_tiny\n" in out
    assert "anyup_paper, bilateral, bilinear, nearest\n" in out


def test_damaged_weights_are_told_and_not_offered(monkeypatch, tmp_path, capsys):
    (tmp_path / "anyup_paper.pth").write_bytes(b"cut")
    monkeypatch.setenv("MAPSR_WEIGHTS", str(tmp_path))
    assert run() == 0
    out = capsys.readouterr().out
    assert "anyup_paper in" in out
    assert "are damaged" in out
    assert "bilateral, bilinear, nearest\n" in out and "anyup_paper, bilateral" not in out


@pytest.mark.parametrize(("broken", "topic"), [("torch", "torch"), ("rasterio", "gdal")])
def test_a_package_that_does_not_import_is_named(broken, topic, monkeypatch, capsys):
    break_import(monkeypatch, broken)
    assert run() == 1
    out, err = capsys.readouterr()
    assert f"lib{broken}.so: cannot open" in out
    assert err.startswith(f"to fix {topic}: install {broken}")
    assert out.endswith("`mapsr run` can't work here yet\n")


def test_an_absent_package_is_named(monkeypatch, capsys):
    normal = metadata.version

    def version(name):
        if name in ("timm", "scipy"):
            raise metadata.PackageNotFoundError(name)
        return normal(name)

    monkeypatch.setattr(metadata, "version", version)
    assert run() == 1
    assert "to fix packages: install with `pip install scipy timm`" in capsys.readouterr().err


def test_mapsr_without_metadata_is_told(monkeypatch):
    def requires(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    finding = machine.packages()
    assert finding.text == "mapsr is not installed"
    assert finding.remedy


def test_a_gdal_without_a_driver_is_told(monkeypatch):
    monkeypatch.setattr(machine, "DRIVERS", ("GTiff", "PaperMap"))
    finding = machine.gdal()
    assert finding.text.endswith("without driver PaperMap")
    assert "drivers" in finding.remedy


def test_an_account_makes_online_possible(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "key")
    assert machine.wandb_mode().text.endswith("logger.mode=online works")


def test_every_choice_is_offered_once_its_weights_are_here():
    from mapsr.cli.compose import compose_parts
    from mapsr.plugins import choices_of

    groups = ("backbone", "network")
    found = machine.choice_findings({g: compose_parts(g) for g in groups}, list(weights.REGISTRY))
    assert {one.topic: one.text.split(", ") for one in found} == {
        f"{group}s": choices_of(group) for group in groups
    }
