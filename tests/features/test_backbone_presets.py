"""The presets of conf/backbone, each value typed from its source."""

import re
import shlex
from functools import cache
from pathlib import Path

import timm
import torch

from mapsr.cli.compose import compose_run
from mapsr.features import TimmEncoder, ViT
from mapsr.plugins import choices_of
from mapsr.weights import REGISTRY, weights_name

# model, layer, enlargement, positions
VITS = {
    "dinov2_vits14": ("vit_small_patch14_dinov2.lvd142m", -1, 1.0, "dinov2"),
    "dinov2_vitb14": ("vit_base_patch14_dinov2.lvd142m", -1, 1.0, "dinov2"),
    "dinov2_vitb14_reg": ("vit_base_patch14_reg4_dinov2.lvd142m", -1, 1.0, "dinov2"),
    "dinov2_vitl14": ("vit_large_patch14_dinov2.lvd142m", -1, 1.0, "dinov2"),
    "vit_tiny": ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 7, 2.0, "timm"),
}
# model, layer, length of a token, pixels along the side of a cell
OF_TIMM = {
    "dinov3_vits16": ("vit_small_patch16_dinov3.lvd1689m", -1, 384, 16),
    "dinov3_vitb16": ("vit_base_patch16_dinov3.lvd1689m", -1, 768, 16),
    "dinov3_vitl16": ("vit_large_patch16_dinov3.lvd1689m", -1, 1024, 16),
    "dinov3_vitl16_sat": ("vit_large_patch16_dinov3.sat493m", -1, 1024, 16),
    "sam_vitb16": ("samvit_base_patch16.sa1b", -1, 256, 16),
    "swin_tiny": ("swin_tiny_patch4_window7_224.ms_in22k", 2, 384, 16),
    "swin_base": ("swin_base_patch4_window7_224.ms_in22k", 2, 512, 16),
    "convnext_tiny": ("convnext_tiny.fb_in22k", 2, 384, 16),
    "convnext_base": ("convnext_base.fb_in22k", 2, 512, 16),
}
OF_TORCHGEO = {
    "dofa_base": ("dofa_base_patch16_224", -1),
    "dofa_large": ("dofa_large_patch16_224", -1),
    "panopticon": ("panopticon_vitb14", -1),
    "satlas_aerial": ("swin_v2_b", 2),
}
GENERAL = {"timm": "convnext_tiny", "vit": "dinov2_vitb14", "torchgeo": "dofa_base"}
LICENCES = {"apache-2.0": "Apache-2.0", "mit": "MIT", "dinov3-license": "DINOv3 License"}


DOCS = (Path(__file__).parents[2] / "docs" / "encoders.md").read_text()


@cache
def backbone(name):
    return compose_run([f"backbone={name}"]).backbone


def test_each_preset_is_listed():
    known = {*VITS, *OF_TIMM, *OF_TORCHGEO, *GENERAL, "texture"}
    assert set(choices_of("backbone")) == known


def test_a_transformer_preset_has_its_model_layer_and_positions():
    for name, typed in VITS.items():
        found = backbone(name)
        assert (found.model, found.layer, found.enlarge, found.positions) == typed
        assert (found.weights, found.checkpoint) == (name, None)


def test_general_choices_take_the_weights_of_their_model():
    for name, weights in GENERAL.items():
        assert weights_name(backbone(name)) == weights
    own = compose_run(["backbone=vit", "backbone.model=test_vit", "backbone.checkpoint=x.pth"])
    assert (own.backbone.model, own.backbone.weights) == ("test_vit", None)


def test_presets_of_timm_are_what_timm_publishes():
    for name, (model, layer, dim, side) in OF_TIMM.items():
        found = backbone(name)
        assert (found.model, found.layer, found.weights) == (model, layer, name)
        published = REGISTRY[name]
        assert published.hub == (f"timm/{model}", "model.safetensors")
        known = timm.models.get_pretrained_cfg(model)
        assert known.hf_hub_id and f"{known.architecture}.{known.tag}" == model
        assert LICENCES[known.license] == published.licence
        assert (published.terms is not None) == ("dinov3" in model)
        with torch.device("meta"):  # shapes alone: the largest would take gigabytes
            encoder = TimmEncoder(found)
        assert (encoder.dim, encoder.stride) == (dim, side)
        numbers = sum(one.numel() for one in encoder.model.parameters())
        numbers += known.num_classes * (1 + encoder.model.num_features)  # the classifier's
        size = 4 * numbers / (1 << 20)
        assert abs(size - published.size_mib) < 0.01 * size, (name, size)


def test_presets_of_torchgeo_are_what_it_publishes():
    for name, (model, layer) in OF_TORCHGEO.items():
        found = backbone(name)
        assert (found.model, found.layer, found.weights) == (model, layer, name)
        assert REGISTRY[name].terms is None


def test_the_model_of_dinov2_is_a_vit():
    with torch.device("meta"):
        assert ViT(backbone("dinov2_vits14")).dim == 384


def test_the_table_of_the_documentation_is_that_of_the_presets():
    rows = [line.strip("| ").split(" | ") for line in DOCS.splitlines() if line.startswith("| `")][
        1:
    ]
    table = {row[0].strip("`"): row[1:] for row in rows}
    assert set(table) == set(choices_of("backbone"))
    for name, (_, _, dim, side) in OF_TIMM.items():
        assert table[name][1:3] == [str(side), str(dim)], name
    for name in (*VITS, *OF_TIMM, *OF_TORCHGEO):
        assert table[name][4] == REGISTRY[name].licence, name
        source = "torchgeo" if name in OF_TORCHGEO else "timm"
        assert table[name][5].strip() == source


def test_the_runs_of_the_documentation_compose():
    text = DOCS.replace("\\\n", "")
    runs = [shlex.split(line)[2:] for line in re.findall(r"^    (mapsr run .*)$", text, re.M)]
    assert len(runs) == 5
    settings = [compose_run(words).backbone for words in runs]
    assert "dinov3" in [getattr(one, "accept_licence", None) for one in settings]
    assert settings[-1].reads == ("nir", "red", "green") and settings[-2].mean[3] == 0.64
