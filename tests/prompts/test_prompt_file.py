import json
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import save_file
from stand_ins import normal

from mapsr.errors import PromptError
from mapsr.legends import load_legend
from mapsr.prompts import ClassPrompts, PromptFile, load_prompts, save_prompts

# what K-means keeps in a run's folder
CLUSTERS = {"mapsr": json.dumps({"version": 1, "classes": ["water"], "settings": {}})}


@pytest.fixture
def file():
    return PromptFile(
        prompts=ClassPrompts(normal(90, 3, 5), torch.tensor([7, 0, 2])),
        legend={"name": "toy", "classes": [{"code": 1, "name": "wäter"}]},
        settings={"backbone": {"kind": "texture", "stride": 8}, "image": {"scale": 255.0}},
        weights={"backbone": None, "upsampler": {"name": "anyup", "sha256": "0" * 64}},
        crosswalk="paraformer",
    )


def test_prompts_go_through_a_file(tmp_path, file):
    path = tmp_path / "new" / "prompts.safetensors"
    save_prompts(path, file)
    for place in (path, path.parent):
        found = load_prompts(place)
        assert torch.equal(found.prompts.vectors, file.prompts.vectors)
        assert torch.equal(found.prompts.counts, file.prompts.counts)
        assert found.legend == file.legend
        assert found.settings == file.settings
        assert found.weights == file.weights
        assert found.crosswalk == "paraformer"
    assert [one.name for one in path.parent.iterdir()] == ["prompts.safetensors"]


@pytest.mark.parametrize("name", ["none.safetensors", "."])
def test_nothing_there(tmp_path, name):
    with pytest.raises(PromptError, match=r"No prompts at .*safetensors: give the folder of a"):
        load_prompts(tmp_path / name)


def test_a_damaged_file(tmp_path, file):
    path = tmp_path / "prompts.safetensors"
    save_prompts(path, file)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(PromptError, match="is no readable safetensors file: "):
        load_prompts(path)
    path.write_text("not at all")
    with pytest.raises(PromptError, match="is no readable safetensors file: "):
        load_prompts(path)


@pytest.mark.parametrize(
    "metadata",
    [None, {"format": "pt"}, {"mapsr": "{"}, {"mapsr": "[1]"}, {"mapsr": "{}"}, CLUSTERS],
)
def test_a_foreign_file(tmp_path, metadata):
    path = tmp_path / "prompts.safetensors"
    save_file({"vectors": torch.zeros(2, 3)}, path, metadata=metadata)
    with pytest.raises(PromptError, match="holds no prompts of mapsr"):
        load_prompts(path)


def test_a_file_of_another_version(tmp_path):
    path = tmp_path / "prompts.safetensors"
    save_file({"vectors": torch.zeros(2, 3)}, path, metadata={"mapsr": json.dumps({"version": 7})})
    with pytest.raises(PromptError, match="has version 7 of the prompt file, expected 2: fit the"):
        load_prompts(path)


def test_a_file_of_version_1_is_taken_over(tmp_path, file):
    path = tmp_path / "prompts.safetensors"
    about = {
        "version": 1,
        "legend": file.legend,
        "settings": file.settings,
        "weights": file.weights,
        "crosswalk": file.crosswalk,
    }
    tensors = {"vectors": file.prompts.vectors, "counts": file.prompts.counts}
    save_file(tensors, path, metadata={"mapsr": json.dumps(about)})
    found = load_prompts(path)
    assert torch.equal(found.prompts.vectors, file.prompts.vectors)
    assert found.settings["image"] == {"scale": 255.0, "dtype": None}
    assert found.about is None


def test_the_target_legend_comes_back_from_the_file(tmp_path, file):
    legend = load_legend("chesapeake4")
    stored = asdict(legend) | {"nodata": sorted(legend.nodata)}
    save_prompts(tmp_path / "prompts.safetensors", replace(file, legend=stored))
    assert load_prompts(tmp_path).target == legend
