"""The presets of conf/backbone, each value typed from its source."""

import pytest

from mapsr.cli.compose import compose_run, conf_folder

# model, layer, enlargement, positions
VITS = {
    "dinov2_vits14": ("vit_small_patch14_dinov2.lvd142m", -1, 1.0, "dinov2"),
    "dinov2_vitb14": ("vit_base_patch14_dinov2.lvd142m", -1, 1.0, "dinov2"),
    "dinov2_vitb14_reg": ("vit_base_patch14_reg4_dinov2.lvd142m", -1, 1.0, "dinov2"),
    "dinov2_vitl14": ("vit_large_patch14_dinov2.lvd142m", -1, 1.0, "dinov2"),
    "vit_tiny": ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 7, 2.0, "timm"),
}


def test_each_transformer_preset_is_listed():
    names = {path.stem for path in (conf_folder() / "backbone").glob("*.yaml")}
    assert names == VITS.keys() | {"texture"}


@pytest.mark.parametrize("name", VITS)
def test_a_transformer_preset_has_its_model_layer_and_positions(name):
    backbone = compose_run([f"backbone={name}"]).backbone
    assert (backbone.model, backbone.layer, backbone.enlarge, backbone.positions) == VITS[name]
    assert (backbone.weights, backbone.checkpoint) == (name, None)
