"""Every file of conf/ composes, and what can't be composed is named in one sentence."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from mapsr.cli.compose import compose_label, compose_map, compose_run
from mapsr.errors import ConfigError, FittedError
from mapsr.experiment import RunSettings
from mapsr.geo import WindowSettings
from mapsr.plugins import conf_folder
from mapsr.refine import RefineSettings
from mapsr.settings import CHOICES, groups_of, kind_of, plain

_OPTIONAL = ("network", "training")
_GROUPS = tuple(name for name in groups_of(RunSettings) if name not in _OPTIONAL)

FILES = sorted(conf_folder().rglob("*.yaml"))
CHOICE_FILES = [path for path in FILES if path.parent.name in (*_GROUPS, *_OPTIONAL)]
# those of `mapsr label` have keys that a run has not
EXPERIMENTS = [
    path.stem
    for path in FILES
    if path.parent.name == "experiment" and not path.stem.startswith("iel_")
]


def _names(group: str) -> list[str]:
    return [path.stem for path in CHOICE_FILES if path.parent.name == group]


# what a choice needs besides itself
ROOT = ["data.root=here"]
NEEDS = {
    ("data", "geotiff"): [*ROOT, "data.image={scene}.tif"],
    **{("data", name): ROOT for name in ("chesapeake", "poland", "sinolc1", "three_products")},
    **{(group, name): ["method=unetformer"] for group in _OPTIONAL for name in _names(group)},
}


def relative(path: Path) -> str:
    return path.relative_to(conf_folder()).as_posix()


def test_the_configuration_is_there():
    assert {path.parent.name for path in CHOICE_FILES} == {*_GROUPS, *_OPTIONAL}
    assert {"paper", "patches_all", "patches_cross", "patches_truth"} <= set(EXPERIMENTS)


def test_each_choice_becomes_its_settings_class():
    for path in CHOICE_FILES:
        check_choice(path)


def check_choice(path):
    group, name = path.parent.name, path.stem
    settings = compose_run([f"{group}={name}", *NEEDS.get((group, name), [])])
    assert isinstance(settings, RunSettings)
    chosen = getattr(settings, group)
    assert type(chosen) is CHOICES[group][kind_of(chosen)], relative(path)
    written = yaml.safe_load(path.read_text())
    everywhere = "_global_" in path.read_text().splitlines()[0]  # its keys are those of the run
    for key in written.keys() - {"defaults"}:
        value = getattr(settings if everywhere else chosen, key)
        if isinstance(written[key], dict):
            for inner, wanted in written[key].items():
                assert _same(getattr(value, inner), wanted), relative(path)
        else:
            assert _same(value, written[key]), relative(path)


def _same(value, written):
    if str(written).startswith("${by_recipe:"):  # the first is that of recipe=corrected
        written = written.partition(":")[2].partition(",")[0]
    return value == (written if value is None else type(value)(written))


def test_each_experiment_composes(monkeypatch, tmp_path):
    monkeypatch.setenv("MAPSR_SHARED", str(tmp_path))
    for name in EXPERIMENTS:
        check_experiment(name, tmp_path)


def check_experiment(name, tmp_path):
    labels = name.startswith("iel_")
    settings = (compose_label if labels else compose_run)([f"experiment={name}"])
    assert isinstance(settings, RunSettings) != labels
    assert "experiment" not in plain(settings)
    if name.startswith("patches"):
        assert settings.data.root == f"{tmp_path}/data/chesapeake_wv"
        assert settings.weights_folder == f"{tmp_path}/weights"


def test_an_override_goes_before_an_experiment(monkeypatch, tmp_path):
    monkeypatch.setenv("MAPSR_SHARED", str(tmp_path))
    settings = compose_run(["experiment=patches_cross", "upsampler=nearest", "seed=7"])
    assert type(settings.upsampler) is CHOICES["upsampler"]["nearest"]
    assert (settings.name, settings.seed) == ("patches_cross", 7)


def test_weights_are_looked_for_elsewhere_without_the_shared_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("MAPSR_SHARED", raising=False)
    settings = compose_run(["experiment=patches_all", f"data.root={tmp_path}"])
    assert settings.weights_folder is None


def test_the_released_recipe_has_its_own_windows():
    usual = compose_run(["method=paraformer"]).windows
    assert usual == WindowSettings(224, 112)
    for method in ("paraformer", "l2hnet"):
        released = compose_run([f"method={method}", "recipe=released"]).windows
        assert released == WindowSettings(224, 112, last="whole", weight="centre")
    chosen = compose_run(["method=paraformer", "recipe=released", "windows.weight=ramp"]).windows
    assert (chosen.last, chosen.weight) == ("whole", "ramp")
    assert compose_run(["method=unetformer", "recipe=released"]).windows == WindowSettings()


def test_the_released_experiment_is_the_authors_code_whole():
    # typed from their code: chips of 448 without overlap, moved inside at the far edges
    settings = compose_run(["experiment=released"])
    assert settings.windows == WindowSettings(448, 0, last="whole", weight="even")
    assert settings.refine == RefineSettings(
        nodes="superpixels",
        segments=8000,
        compactness=10.0,
        stretched=True,
        neighbours=100,
        joint=False,
        gamma=1.0,
        sigma=0.0,
        power=1.0,
        mutual_twice=True,
        alpha=0.5,
        heat="minmax",
        solver="conjugate_gradients",
        tolerance=1e-6,
        most_steps=10,
    )
    prompts = settings.prompts
    assert (prompts.classes, prompts.bias, prompts.epochs) == ("product", True, 10)
    assert prompts.prompt_scenes == 1
    assert settings.legend.crosswalk == "mapsr"
    assert settings.backbone.model == "vit_base_patch14_dinov2.lvd142m"
    assert (settings.backbone.positions, settings.backbone.layer) == ("dinov2", -1)
    assert settings.upsampler.weights == "anyup_paper"
    assert kind_of(settings.method) == "mapsr" and settings.prior.strength == 0


PAPER_GRAPH = RefineSettings(
    nodes="superpixels",
    segments=5000,
    compactness=10.0,
    stretched=False,
    neighbours=100,
    joint=True,
    gamma=1.0,
    sigma=1.0,
    power=2.0,
    mutual_twice=False,
    alpha=0.5,
    heat="cosine",
    solver="fixed_point",
    most_steps=None,
)


def test_the_paper_experiment_has_the_papers_values():
    # typed from sections II and III of the paper
    settings = compose_run(["experiment=paper"])
    assert settings.refine == PAPER_GRAPH
    assert settings.windows.chip == 448
    prompts = settings.prompts
    assert (kind_of(prompts), prompts.classes, prompts.bias) == ("coarse", "target", False)
    assert (prompts.epochs, prompts.prompt_scenes) == (10, None)
    assert settings.backbone.model == "vit_base_patch14_dinov2.lvd142m"
    assert (settings.backbone.positions, settings.upsampler.weights) == ("dinov2", "anyup_paper")
    pixels = compose_run(["experiment=paper", "refine=pixels"]).refine
    assert pixels == dataclasses.replace(PAPER_GRAPH, nodes="pixels", window=112)
    dagger = compose_run(["experiment=paper", "method=mapsr_hr"])
    assert (kind_of(dagger.prompts), dagger.prompts.scenes) == ("truth", 1)


def test_the_files_change_nothing_that_they_do_not_name():
    settings = compose_run([])
    for group in _GROUPS:
        chosen = getattr(settings, group)
        assert plain(chosen) == plain(type(chosen)())
        fields = {f.name for f in dataclasses.fields(chosen)}
        assert set(plain(settings)[group]) == fields | {"kind"}


def test_each_file_says_what_it_is_for_and_each_key_why():
    for path in FILES:
        check_words(path)


def check_words(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    if lines[0] == "# @package _global_":
        assert lines[1].startswith("# ")
    if path.parent.name == "experiment":
        return  # their keys are explained where they are defined
    document = yaml.safe_load("\n".join(lines))
    for key in document.keys() - {"defaults"}:
        [line] = [line for line in lines if line.startswith(f"{key}:")]
        number = lines.index(line)
        if path.parent == conf_folder():
            assert "#" in line or lines[number - 1].startswith("#"), (relative(path), key)


MAP = ("image=tiles/*.tif", "out=maps", "coarse=nlcd.tif")


def test_the_map_command_composes():
    settings = compose_map([*MAP, "compute.batch=3", "method=paraformer"])
    assert settings.compute.batch == 3
    assert (settings.image, settings.coarse) == ("tiles/*.tif", "nlcd.tif")
    assert (settings.windows.chip, settings.network.width) == (224, 128)
    assert compose_map([*MAP, "method=mapsr", "refine=none"]).refine.nodes == "none"


def test_the_default_of_a_map_is_better_than_the_papers_method():
    best = compose_map(MAP)
    assert (kind_of(best.prompts), best.product_prior, best.refine.nodes) == ("em", 1.0, "none")
    paper = compose_map([*MAP, "method=mapsr"])
    assert (kind_of(paper.prompts), paper.product_prior) == ("coarse", 0.0)
    assert paper.refine.nodes == "superpixels"


def test_the_products_strength_has_a_short_name():
    assert compose_map([*MAP, "product_prior=0.5"]).product_prior == 0.5
    settings = compose_run(["product_prior=0.25"])
    assert (settings.product_prior, kind_of(settings.prompts)) == (0.25, "coarse")
    with pytest.raises(ConfigError, match=r"prior.strength is -1.0, expected a number in \[0"):
        compose_run(["product_prior=-1"])


def test_a_key_that_was_renamed_still_works_and_says_so(capsys):
    settings = compose_run(["trainer.accelerator=cpu", "engine.batch=2", "engine.memory_mib=7"])
    assert (settings.compute.device, settings.compute.batch) == ("cpu", 2)
    assert settings.compute.memory_mib == 7
    told = capsys.readouterr().err
    assert told.count("trainer.accelerator= is called compute.device= now") == 1


def test_a_run_of_prompts_is_called_fitted_now_and_a_choice_is_not(capsys):
    with pytest.raises(FittedError, match="There is no file or folder runs/x"):
        compose_map(["image=a.tif", "out=b.tif", "prompts=runs/x"])
    assert capsys.readouterr().err.count("prompts=runs/x is called fitted=runs/x now") == 1
    settings = compose_map([*MAP, "prompts=released"])
    assert (settings.fitted, settings.prompts.classes) == (None, "product")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["2021_11", "1e4", "007", "true"])
def test_text_that_looks_like_a_number_stays_text(text):
    settings = compose_run(
        ["data=geotiff", f"output={text}", f"data.root={text}", "data.image={scene}.tif"]
    )
    assert (settings.output, settings.data.root) == (text, text)
    assert compose_run(["output=null"]).output is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["refine.segmets=10"],
            r"^Unknown key 'refine\.segmets'\. Did you mean 'refine\.segments'",
        ),
        (["sead=1"], r"^Unknown key 'sead'\. Did you mean 'seed'\?$"),
        (["backbon=texture"], r"^Unknown key 'backbon'\. Did you mean 'backbone'\?$"),
        (["zzzzzz=1"], r"^Unknown key 'zzzzzz'\.$"),
        (
            ["backbone=dinov2_vitb"],
            r"^backbone=dinov2_vitb: expected one of .*dinov2_vitb14, .*mean 'dinov2_vitb14'",
        ),
        (
            ["experiment=patchs"],
            r"^experiment=patchs: expected one of .*paper, .*mean 'patches'\?$",
        ),
        (
            ["refine.segments=many"],
            r"^refine\.segments: Value 'many' .* not be converted to Integer",
        ),
        (["seed=null"], r"^(run\.)?seed: "),
        (["seed=-1"], r"^seed is -1, expected a number in \[0, inf\]"),
        (["refine.segments"], r"^An override can't be read: .* \(expected key=value\)\.$"),
        (["data=geotiff", "data.image={scene}.tif"], r"^data\.root has no value: give data\.root="),
        (["data=geotiff", "data.root=x"], r"^Set data\.image or data\.table: neither is set"),
        (["~refine"], r"'~refine' .*expected key=value"),
        (["=3"], r"'=3' .*expected key=value"),
        (["+extra=1"], r"extra"),
        (["output=${shared_:x}"], r"^The configuration can't be resolved: "),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_named(overrides, message):
    with pytest.raises(ConfigError, match=message) as raised:
        compose_run(overrides)
    assert "\n" not in str(raised.value)


def test_a_path_below_a_folder_that_is_not_set(monkeypatch):
    monkeypatch.delenv("MAPSR_SHARED", raising=False)
    with pytest.raises(ConfigError) as raised:
        compose_run(["experiment=patches_all"])
    assert str(raised.value) == (
        "data/chesapeake_wv is looked for below the folder MAPSR_SHARED, which is not set: set it, "
        "or give the key a value of its own, such as data.root=FOLDER."
    )


def test_a_pattern_needs_no_quotes_for_hydra():
    settings = compose_run(["data=geotiff", "data.root=it's", "data.image=*/{scene}_a.tif"])
    assert (settings.data.root, settings.data.image) == ("it's", "*/{scene}_a.tif")
