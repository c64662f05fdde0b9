"""The public weights that mapsr knows: where they are published, and their hashes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Weights:
    """One published file of weights.

    Attributes:
        name: how settings call it.
        file: its name in a folder of weights.
        url: where it is downloaded from, if from an address of its own.
        hub: Hugging Face repository and the file's name there, if it is downloaded from the hub.
        sha256: hash of the file; None: it is not known, so that a download is held against what the
            hub declares, and another file against what it was at its first use.
        licence: terms of use.
        source: page of the publisher.
        size_mib: size of the download in MiB, rounded.
    """

    name: str
    file: str
    url: str | None
    hub: tuple[str, str] | None
    sha256: str | None
    licence: str
    source: str
    size_mib: int


def _anyup(name: str, tag: str, sha256: str) -> Weights:
    source, file = "https://github.com/wimmerth/anyup", f"{name}.pth"
    url = f"{source}/releases/download/{tag}/{file}"
    return Weights(name, file, url, None, sha256, "CC-BY-4.0", source, 3)


def _timm(
    name: str,
    model: str,
    tag: str,
    mib: int,
    licence: str = "Apache-2.0",
    sha256: str | None = None,
) -> Weights:
    hub = (f"timm/{model}.{tag}", "model.safetensors")
    source, file = f"https://huggingface.co/{hub[0]}", f"{model}.safetensors"
    return Weights(name, file, None, hub, sha256, licence, source, mib)


REGISTRY: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        _anyup(
            "anyup_paper",
            "checkpoint",
            "9d035c0f27114a6f32bdd3d8ed93b6cd39dad4b8f8bf94e69fddbfbf022901b2",
        ),
        _anyup(
            "anyup_multi_backbone",
            "checkpoint_v2",
            "b6cc407da8986c7e5c9098e61f7531767a9aca8fff20a1bc6c99d488e61aac59",
        ),
        _timm(
            "vit_tiny",
            "vit_tiny_patch16_224",
            "augreg_in21k_ft_in1k",
            22,
            sha256="3f1f07da5e1337265ac1eb0234d13841467caf730b3c4240bd3f98c49bc16a92",
        ),
        _timm("dinov2_vits14", "vit_small_patch14_dinov2", "lvd142m", 84),
        _timm("dinov2_vitb14", "vit_base_patch14_dinov2", "lvd142m", 330),
        _timm("dinov2_vitl14", "vit_large_patch14_dinov2", "lvd142m", 1161),
        _timm("dinov2_vitb14_reg", "vit_base_patch14_reg4_dinov2", "lvd142m", 330),
        _timm("vit_base_in21k", "vit_base_patch16_224", "orig_in21k", 327),
        _timm("efficientvit_l2", "efficientvit_l2", "r224_in1k", 243),
        _timm("efficientvim_m4", "efficientvim_m4", "e450_in1k", 75, "MIT"),
        _timm("resnet18_swsl", "resnet18", "fb_swsl_ig1b_ft_in1k", 45, "CC-BY-NC-4.0"),
    )
}
"""Name -> published weights."""
