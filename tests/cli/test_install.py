"""What is installed: the core's packages, extras, container files, and what a map imports."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import mapsr
from mapsr.cli.main import main
from mapsr.errors import ConfigError
from mapsr.extras import EXTRAS, absent, require_extra

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAMED = (
    *("torch", "hydra-core", "omegaconf", "lightning", "timm", "torchgeo", "scikit-image"),
    *("pynndescent", "wandb"),
)
# fits a method and maps with it, maps with it as it is kept, and writes a page, in one process;
# says what came in
MAPS = """
import sys
from mapsr.cli.main import main
image, coarse, out, *quick = sys.argv[1:]
own = [f"coarse={coarse}", "legend.coarse=nlcd", "confidence=true", *quick]
first = main(["map", *own, f"image={image}", f"out={out}/first.tif"])
given = f"fitted={out}/first.fitted.safetensors"
second = main(["map", given, f"image={image}", f"out={out}/second.tif"])
page = main(["page", f"{out}/first.tif"])
print(first, second, page, sorted({name.partition(".")[0] for name in sys.modules}))
"""


def names_of(requirements):
    return {re.split(r"[^\w.-]", line)[0] for line in requirements}


def closure(extra):
    """Names of an extra's packages, those of the extras that it names included."""
    found = set()
    for line in PROJECT["optional-dependencies"][extra]:
        if inner := re.match(r"mapsr\[(.*)\]", line):
            found |= set().union(*map(closure, inner[1].split(",")))
        else:
            found |= names_of([line])
    return found


def test_research_is_all_that_make_install_brings():
    everything = set().union(*map(closure, PROJECT["optional-dependencies"]))
    assert closure("research") == everything
    assert set(NAMED) <= everything | names_of(PROJECT["dependencies"])


def test_every_module_of_an_extra_is_of_that_extra_and_not_of_the_core():
    packages = metadata.packages_distributions()
    for module, (_, extra) in EXTRAS.items():
        found = {name.lower().replace("_", "-") for name in packages[module]}
        assert found & set(closure(extra)), module
        assert not found & names_of(PROJECT["dependencies"]), module


def test_a_map_imports_no_package_of_an_extra(scene_folder, tmp_path):
    # Lightning alone took seconds of each start, and W&B asked for its own folder
    image = scene_folder / "train" / "field_naip.tif"
    coarse = scene_folder / "train" / "field_nlcd_30m.tif"
    quick = ("prompts.pixels=1000", "windows.chip=48", "windows.overlap=8", "windows.unit=48")
    words = [image, coarse, tmp_path, *quick]
    done = subprocess.run(
        [sys.executable, "-c", MAPS, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *statuses, modules = done.stdout.splitlines()[-1].split(" ", 3)
    assert statuses == ["0", "0", "0"], done.stderr
    came_in = {*re.findall(r"'([^']+)'", modules)}
    assert {"torch", "rasterio"} <= came_in
    assert came_in & {*EXTRAS, "torchmetrics", "torchvision", "pandas", "pyogrio"} == set()


def missing(monkeypatch, *modules):
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize("module", EXTRAS)
def test_a_package_that_is_absent_is_a_sentence(monkeypatch, module):
    require_extra(module, "This")
    missing(monkeypatch, module)
    name, extra = EXTRAS[module]
    with pytest.raises(ConfigError) as caught:
        require_extra(module, "This", "do that")
    assert str(caught.value) == (
        f"This needs {name}, which is not installed: pip install 'mapsr[{extra}]', or do that."
    )
    assert absent(extra) == [name]


def test_what_needs_an_extra_says_so_before_the_work(monkeypatch, scene_folder, tmp_path, capsys):
    missing(monkeypatch, "lightning", "sklearn", "matplotlib", "wandb")
    said = {"mapsr": "The probe of these prompts needs Lightning", "unet_small": "Training a net"}
    said["kmeans_voting"] = "method=kmeans_voting needs scikit-learn"
    for method, words in said.items():
        out = tmp_path / method / "map.tif"
        image = scene_folder / "train" / "field_naip.tif"
        coarse = scene_folder / "train" / "field_nlcd_30m.tif"
        given = [f"method={method}", f"image={image}", f"coarse={coarse}", f"out={out}"]
        assert main(["map", *given]) == 1
        shown = capsys.readouterr()
        assert words in shown.err and "mapsr[research]" in shown.err and shown.out == ""
        assert "features" not in shown.err  # nothing was computed in vain
        assert not out.exists()
    assert main(["run", f"output={tmp_path / 'run'}"]) == 1
    assert "needs Matplotlib" in capsys.readouterr().err
    assert main(["doctor"]) == 1
    shown = capsys.readouterr()
    assert "absent: Lightning, Matplotlib, scikit-learn" in shown.out
    assert "to fix research: install what experiments need with" in shown.err


def test_a_missing_file_waits_for_no_import(tmp_path, capsys, monkeypatch):
    # it took twelve seconds to say that an image is not there
    from mapsr.cli import compose

    monkeypatch.setattr(compose, "compose_map", lambda words: pytest.fail("composed"))
    (tmp_path / "a.tif").write_bytes(b"")
    said = {
        f"image={tmp_path}/no.tif": "there is no such file; check the path",
        f"image={tmp_path}/*.jp2": "No file matches image=",
        f"image={tmp_path}": "it is a folder, expected a raster file",
        f"coarse={tmp_path}/no.tif": "there is no such file",
        f"aoi={tmp_path}/no.gpkg|layername=a": "there is no such file",
    }
    for word, words in said.items():
        first = [] if word.startswith("image") else [f"image={tmp_path}/a.tif"]
        assert main(["map", *first, word, f"out={tmp_path}/map.tif"]) == 1
        assert words in capsys.readouterr().err
    assert main(["page", str(tmp_path / "no")]) == 1
    assert "There is no run or map" in capsys.readouterr().err


def test_a_missing_file_is_told_without_torch(tmp_path):
    asked = (
        "import sys\nfrom mapsr.cli.main import main\n"
        "codes = [main(['map', 'image=no.tif', 'out=map.tif']), main(['areas', 'no.tif']),\n"
        "         main(['page', 'no.tif']), main(['score', 'no.tif', 'truth=no.tif'])]\n"
        "print(codes, [name for name in ('torch', 'hydra') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[1, 1, 1, 1] []\n"
    assert done.stderr.count("no.tif") == 4


def test_the_container_is_not_run_by_root_and_has_what_it_copies():
    folder = ROOT / "scripts" / "docker"
    lines = (folder / "Dockerfile").read_text().splitlines()
    stages = [line.split()[3] for line in lines if line.startswith("FROM")]
    assert stages == ["base", "cpu", "cuda"]
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    kept = {
        line[1:]
        for line in (folder / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert set(copied) == kept
    assert all((ROOT / name).exists() for name in kept)
    for stage in ("cpu", "cuda"):
        start = next(n for n, line in enumerate(lines) if line.endswith(f" AS {stage}"))
        rest = lines[start + 1 :]
        end = next((n for n, line in enumerate(rest) if line.startswith("FROM")), len(rest))
        told = [line.split()[0] for line in rest[:end] if re.match(r"[A-Z]+ ", line)]
        assert told[-4:] == ["USER", "WORKDIR", "ENTRYPOINT", "CMD"]
        assert "USER mapsr" in rest[:end]


def test_all_pods_of_the_cluster_have_one_image_and_one_volume():
    job = yaml.safe_load((ROOT / "scripts" / "docker" / "rayjob.yaml").read_text())
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups]
    assert len(pods) == 2 and pods[0] == pods[1]
    mounts = {one["name"]: one["mountPath"] for one in pods[0]["containers"][0]["volumeMounts"]}
    assert mounts == {"work": "/work", "weights": "/weights"}
    assert pods[0]["securityContext"]["runAsNonRoot"] is True
    assert "engine=ray" in job["spec"]["entrypoint"]


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "docs" / "CITATION.cff").read_text())
    assert cited["version"] == mapsr.__version__ == PROJECT["version"]
    assert cited["license"] == PROJECT["license"]
