"""The fitted file: what goes in comes back, and what is not whole is refused in a sentence."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from stand_ins import normal

from mapsr.errors import FittedError
from mapsr.features import TextureSettings
from mapsr.geo import WindowSettings
from mapsr.legends import load_legend
from mapsr.methods import FittedMethod, ImageFacts, MethodParts, Runtime, State
from mapsr.methods.earlier import upgraded
from mapsr.methods.fitted import FILE, find_fitted, load_fitted
from mapsr.methods.mapsr import MapSRSettings
from mapsr.plugins import load_choices
from mapsr.prompts import CoarsePromptSettings
from mapsr.refine import RefineSettings
from mapsr.settings import plain
from mapsr.upsample import NearestSettings

CPU = Runtime(torch.device("cpu"))
WINDOWS = WindowSettings(chip=64, overlap=8)


@pytest.fixture(scope="module", autouse=True)
def choices():
    load_choices()


@pytest.fixture
def fitted():
    prompts = {"vectors": normal(90, 4, 16), "counts": torch.tensor([7, 0, 2, 5])}
    return FittedMethod(
        parts=MethodParts(
            method=MapSRSettings(),
            backbone=TextureSettings(channels=16),
            upsampler=NearestSettings(),
            prompts=CoarsePromptSettings(classes="product"),
            refine=RefineSettings(nodes="none"),
        ),
        target=load_legend("chesapeake4"),
        crosswalk="paraformer",
        image=ImageFacts(200.0, 3, "uint16"),
        windows=WINDOWS,
        weights={"backbone": None, "upsampler": None},
        state=State(prompts),
        about={"seed": 3},
    )


def test_all_of_it_comes_back(tmp_path, fitted):
    path = tmp_path / "new" / FILE
    saved = fitted.save(path)
    for place in (path, path.parent):
        found = load_fitted(place)
        assert found == replace(saved, state=found.state)
        assert found.state.facts == {}
        for name, tensor in fitted.state.tensors.items():
            assert torch.equal(found.state.tensors[name], tensor)
    assert len(saved.sha256) == 64 and load_fitted(path).sha256 == saved.sha256
    assert [one.name for one in path.parent.iterdir()] == [FILE]
    assert path.stat().st_mode & 0o777 == (tmp_path / "new").stat().st_mode & 0o666
    assert load_fitted(path).build(CPU).prompts.present.tolist() == [True, False, True, True]


def test_channels_come_back_and_are_checked(tmp_path, fitted):
    path = tmp_path / FILE
    replace(fitted, channels=(255, 0, 2, 0)).save(path)
    assert load_fitted(path).channels == (255, 0, 2, 0)
    with pytest.raises(FittedError, match="scores' channels is not what its method gives"):
        load_fitted(path).build(CPU)
    replace(fitted, channels=(0, 4)).save(path)
    with pytest.raises(FittedError, match=r"channels are \[0, 4\], expected numbers of 4 classes"):
        load_fitted(path)


def test_a_network_of_before_channels_gets_those_of_its_outputs():
    def channels(targets):
        return upgraded({"version": 3, "facts": {"outputs": {"targets": targets}}}, None)[
            "channels"
        ]

    assert channels([255, 1, 0, 1]) == [255, 1, 0, 1]
    assert channels([255, 0, 1, 2, 255]) is None
    assert upgraded({"version": 3, "facts": {}}, None)["channels"] is None
    assert upgraded({"version": 3, "channels": [0, 0]}, None)["channels"] == [0, 0]


def test_a_folder_of_one_map_is_enough_and_of_several_is_not(tmp_path, fitted):
    fitted.save(tmp_path / "county.fitted.safetensors")
    assert find_fitted(tmp_path).name == "county.fitted.safetensors"
    fitted.save(tmp_path / "town.fitted.safetensors")
    with pytest.raises(FittedError, match=r"holds 2 fitted methods \(county.*name the file"):
        find_fitted(tmp_path)


def test_the_name_that_files_of_prompts_had_is_still_found(tmp_path, fitted):
    fitted.save(tmp_path / FILE)
    assert find_fitted(tmp_path / "prompts.safetensors") == tmp_path / FILE


@pytest.mark.parametrize("name", ["none.safetensors", "."])
def test_nothing_there(tmp_path, name):
    with pytest.raises(FittedError, match=r"There is no .* give the folder of a finished run"):
        load_fitted(tmp_path / name)


def test_a_damaged_file(tmp_path, fitted):
    path = tmp_path / FILE
    fitted.save(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FittedError, match="is not a readable safetensors file"):
        load_fitted(path)
    path.write_text("not at all")
    with pytest.raises(FittedError, match="is not a readable safetensors file"):
        load_fitted(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"mapsr": "[1]"}, {"mapsr": "{}"}])
def test_a_foreign_file(tmp_path, metadata):
    save_file({"vectors": torch.zeros(2, 3)}, tmp_path / FILE, metadata=metadata)
    with pytest.raises(FittedError, match="does not hold a fitted method of mapsr"):
        load_fitted(tmp_path)


def test_clusters_of_an_earlier_version_are_refused(tmp_path):
    about = {"mapsr": json.dumps({"version": 1, "classes": ["water"], "settings": {}})}
    save_file({"centres": torch.zeros(2, 3)}, tmp_path / FILE, metadata=about)
    with pytest.raises(FittedError, match="is of an earlier version"):
        load_fitted(tmp_path)


def rewritten(path, change):
    """Write a fitted file again with what it says of itself changed."""
    with safe_open(path, framework="pt") as opened:
        about = json.loads(opened.metadata()["mapsr"])
    save_file(load_file(path), path, metadata={"mapsr": json.dumps(change(about))})


def settings_without(group):
    def change(about):
        rest = {k: v for k, v in about["settings"].items() if k != group}
        return about | {"settings": rest}

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a | {"version": 7}, r"has version 7 of the format.* up to 3: update mapsr"),
        (lambda a: a | {"legend": {"name": "x"}}, "what it says of its method is not whole"),
        (lambda a: {k: a[k] for k in a if k != "image"}, r"not whole \('image' is missing\)"),
        (settings_without("method"), "method is missing"),
        (lambda a: a | {"settings": a["settings"] | {"method": {"kind": "forest"}}}, "'forest'"),
        (
            lambda a: a | {"settings": a["settings"] | {"refine": {"kind": "graph", "alpha": "x"}}},
            "refine.alpha",
        ),
        (lambda a: a | {"settings": a["settings"] | {"method": {"kind": 7}}}, "method.kind is '7'"),
        (lambda a: a | {"crosswalk": "\udce9"}, "surrogates not allowed"),
    ],
)
def test_what_a_file_says_is_checked(tmp_path, fitted, change, message):
    fitted.save(tmp_path / FILE)
    rewritten(tmp_path / FILE, change)
    with pytest.raises(FittedError, match=message) as raised:
        load_fitted(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("vectors", lambda v: v.fill_(torch.nan)),
        ("vectors", lambda v: v[:3]),
        ("vectors", lambda v: v.double()),
        ("counts", lambda v: v.fill_(0)),
        ("counts", lambda v: -v),
        ("counts", lambda v: v.float()),
        ("vectors", lambda v: v[:, :5]),
    ],
)
def test_prompts_that_are_not_whole_never_score(fitted, name, change):
    tensors = {key: one.clone() for key, one in fitted.state.tensors.items()}
    tensors[name] = change(tensors[name])
    with pytest.raises(FittedError, match=r"are not whole|they belong to another backbone"):
        replace(fitted, state=State(tensors)).build(CPU)


@pytest.mark.parametrize("said", [7, [1, 2], "x", True])
def test_what_a_file_says_of_its_fit_ended_in_a_trace(fitted, said):
    state = State(fitted.state.tensors, {"fit": said})
    with pytest.raises(FittedError, match=r"facts\.fit' is .*not a mapping"):
        replace(fitted, state=state).build(CPU)


def test_other_weights_than_those_of_the_fit_are_refused(fitted):
    known = {"name": "vit_tiny", "sha256": "ab" * 32}
    other = replace(fitted, weights={"backbone": known})
    with pytest.raises(FittedError, match=r"backbone's weights here \(none\) are not .*vit_tiny"):
        other.build(CPU)


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_prompts_of_an_earlier_version_is_taken_over(tmp_path, fitted, version):
    parts = fitted.parts
    groups = ("backbone", "upsampler", "refine")
    image = {"scale": 200.0, "bands": 3} | ({"dtype": "uint16"} if version == 2 else {})
    about = {
        "version": version,
        "legend": asdict(fitted.target) | {"nodata": sorted(fitted.target.nodata)},
        "settings": {name: plain(getattr(parts, name)) for name in groups}
        | {"windows": plain(WINDOWS), "image": image},
        "weights": {"backbone": None, "upsampler": None},
        "crosswalk": "paraformer",
    } | ({"about": None} if version == 2 else {})
    path = tmp_path / "prompts.safetensors"
    save_file(dict(fitted.state.tensors), path, metadata={"mapsr": json.dumps(about)})
    found = load_fitted(tmp_path)
    assert found.parts.backbone == parts.backbone and found.parts.refine == parts.refine
    assert found.image == ImageFacts(200.0, 3, "uint16" if version == 2 else None)
    assert (found.target, found.windows, found.about) == (fitted.target, WINDOWS, None)
    vectors = found.build(CPU).prompts.vectors
    assert torch.equal(vectors, fitted.state.tensors["vectors"])
