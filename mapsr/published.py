"""The public weights that mapsr knows: where they are published, and their hashes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mapsr.errors import WeightsError

DINOV3 = ("dinov3", "https://ai.meta.com/resources/models-and-libraries/dinov3-license/")
"""How the DINOv3 License is accepted, and where it is read."""


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
        size_mib: size of the download in MiB, rounded; 0: not known.
        terms: word by which a licence has to be accepted first, and where it is read; None: it
            need not be.
    """

    name: str
    file: str
    url: str | None
    hub: tuple[str, str] | None
    sha256: str | None
    licence: str
    source: str
    size_mib: int
    terms: tuple[str, str] | None = None

    @property
    def facts(self) -> str:
        """Size and licence in words."""
        return f"about {self.size_mib} MiB, {self.licence}" if self.size_mib else self.licence


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


def _tagged(name: str, model: str, mib: int, licence: str = "Apache-2.0") -> Weights:
    """Weights of timm under the whole name of their model, with its tag."""
    hub = (f"timm/{model}", "model.safetensors")
    source, file = f"https://huggingface.co/{hub[0]}", f"{model}.safetensors"
    terms = DINOV3 if "dinov3" in model else None
    licence = "DINOv3 License" if terms else licence
    return Weights(name, file, None, hub, None, licence, source, mib, terms)


def _hub(name: str, repository: str, file: str, mib: int, licence: str) -> Weights:
    source = f"https://huggingface.co/{repository}"
    return Weights(name, file, None, (repository, file), None, licence, source, mib)


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
        _tagged("dinov3_vits16", "vit_small_patch16_dinov3.lvd1689m", 82),
        _tagged("dinov3_vitb16", "vit_base_patch16_dinov3.lvd1689m", 327),
        _tagged("dinov3_vitl16", "vit_large_patch16_dinov3.lvd1689m", 1156),
        _tagged("dinov3_vitl16_sat", "vit_large_patch16_dinov3.sat493m", 1156),
        _tagged("sam_vitb16", "samvit_base_patch16.sa1b", 342),
        _tagged("swin_tiny", "swin_tiny_patch4_window7_224.ms_in22k", 170, "MIT"),
        _tagged("swin_base", "swin_base_patch4_window7_224.ms_in22k", 418, "MIT"),
        _tagged("convnext_tiny", "convnext_tiny.fb_in22k", 170),
        _tagged("convnext_base", "convnext_base.fb_in22k", 420),
        _hub("dofa_base", "torchgeo/dofa", "dofa_base_patch16_224-a0275954.pth", 426, "CC-BY-4.0"),
        _hub(
            "dofa_large", "torchgeo/dofa", "dofa_large_patch16_224-0ff904d3.pth", 1287, "CC-BY-4.0"
        ),
        _hub(
            "panopticon", "lewaldm/panopticon", "panopticon_vitb14_teacher.pth", 400, "Apache-2.0"
        ),
        _hub("satlas_aerial", "torchgeo/satlas", "aerial_swinb_si-e4169eb1.pth", 335, "ODC-BY"),
    )
}
"""Name -> published weights."""


_TIMM = re.compile(r"timm/(\w+(?:\.\w+)?)")


def of_timm(name: str, known: Iterable[Weights]) -> Weights | None:
    """What is known of weights that timm publishes under a model's name.

    Args:
        name: "timm/MODEL.TAG", as the Hugging Face hub calls the repository.
        known: entries to prefer where they are of the same repository.

    Returns:
        The entry; None where the name has another form.
    """
    model = _TIMM.fullmatch(name)
    if model is None:
        return None
    same = (one for one in known if one.hub is not None and one.hub[0] == name)
    return next(same, _tagged(name, model[1], 0, "the licence on its page"))


def require_accepted(weights: Weights, accepted: str | None) -> None:
    """Refuse weights whose licence has to be accepted before they are used.

    Args:
        weights: that are asked for.
        accepted: word of the licence that was accepted.

    Raises:
        WeightsError: it is another one, or none.
    """
    if weights.terms is not None and weights.terms[0] != accepted:
        word, where = weights.terms
        raise WeightsError(
            f"the weights {weights.name} are under the {weights.licence}, which has to be accepted "
            f"first: read it at {where}, then set backbone.accept_licence={word} (`mapsr weights "
            f"fetch {weights.name} --accept-licence {word}`)."
        )
