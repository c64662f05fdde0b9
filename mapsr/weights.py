"""Which public weights mapsr knows, and where on this machine they are."""

import hashlib
import json
import logging
import os
import re
import shutil
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

from mapsr.errors import WeightsError, near_match
from mapsr.files import whole_file

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Weights:
    """One published file of weights.

    Attributes:
        name: how settings call it.
        file: its name in a folder of weights.
        url: where it is downloaded from, if from an address of its own.
        hub: Hugging Face repository and the file's name there, if it is downloaded from the hub.
        sha256: hash of the file; None: a download is held against what the hub declares.
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


@dataclass(frozen=True)
class ResolvedWeights:
    """Weights found on this machine: what was asked for, the file, and the hash of the file."""

    name: str
    path: Path
    sha256: str


def _anyup(name: str, tag: str, sha256: str) -> Weights:
    source, file = "https://github.com/wimmerth/anyup", f"{name}.pth"
    url = f"{source}/releases/download/{tag}/{file}"
    return Weights(name, file, url, None, sha256, "CC-BY-4.0", source, 3)


def _timm(name: str, model: str, tag: str, mib: int, licence: str = "Apache-2.0") -> Weights:
    hub = (f"timm/{model}.{tag}", "model.safetensors")
    source, file = f"https://huggingface.co/{hub[0]}", f"{model}.safetensors"
    return Weights(name, file, None, hub, None, licence, source, mib)


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
        _timm("vit_tiny", "vit_tiny_patch16_224", "augreg_in21k_ft_in1k", 22),
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


def entry(name: str) -> Weights:
    """Return the registry's entry.

    Raises:
        WeightsError: the registry has no such name.
    """
    if name not in REGISTRY:
        raise WeightsError(
            f"no weights are called '{name}', expected one of {', '.join(sorted(REGISTRY))}."
            f"{near_match(name, REGISTRY)}"
        )
    return REGISTRY[name]


def resolve(name: str, checkpoint: str | None = None, folder: str | None = None) -> ResolvedWeights:
    """Find weights on this machine, else download them.

    The order is: ``checkpoint``, ``folder``, the folder MAPSR_WEIGHTS, the caches of mapsr and of
    the Hugging Face hub, the network, which MAPSR_OFFLINE=1 or HF_HUB_OFFLINE=1 forbids. A file
    must have the published hash, except ``checkpoint``, which may be anybody's training.

    Args:
        name: a name in the registry.
        checkpoint: path of a file to use in place of the published one.
        folder: a folder that holds files under the registry's file names.

    Raises:
        WeightsError: the registry has no such name.
        WeightsError: ``checkpoint``, ``folder`` or MAPSR_WEIGHTS names nothing.
        WeightsError: the file is damaged: its hash is not the published one.
        WeightsError: the weights are not here and can't be downloaded.
    """
    weights = entry(name)
    if checkpoint is not None:
        path = Path(checkpoint).expanduser()
        if not path.is_file():
            raise WeightsError(
                f"checkpoint '{checkpoint}' for {name} is no file; name an existing one, or leave "
                "checkpoint unset to use the published weights."
            )
        return ResolvedWeights(name, path, sha256_of(path))
    found = locate(name, folder)
    if found is None:
        return _download(weights)
    return verify(weights, found)


def locate(name: str, folder: str | None = None) -> Path | None:
    """Return where the weights are on this machine, or None; never uses the network.

    Args:
        name: a name in the registry.
        folder: a folder to look into first.

    Raises:
        WeightsError: the registry has no such name.
        WeightsError: ``folder`` or MAPSR_WEIGHTS names no folder.
    """
    weights = entry(name)
    named = {"folder": folder, "MAPSR_WEIGHTS": os.environ.get("MAPSR_WEIGHTS")}
    for place in (*(_folder(k, v) for k, v in named.items() if v), cache_folder()):
        if (path := place / weights.file).is_file():
            return path
    return _hub_cached(weights)


def verify(weights: Weights, path: Path) -> ResolvedWeights:
    """Return the file with its hash once that is known to be the published one.

    Raises:
        WeightsError: the file is damaged.
    """
    # a file in the hub's cache is called by the hash that the hub declared for it
    blob = path.resolve().name
    expected = weights.sha256 or (blob if re.fullmatch("[0-9a-f]{64}", blob) else None)
    got = sha256_of(path)
    if expected is not None and got != expected:
        raise WeightsError(
            f"the weights {weights.name} in {path} are damaged: SHA-256 is {got}, expected "
            f"{expected}; delete the file and run `mapsr weights fetch {weights.name}`."
        )
    return ResolvedWeights(weights.name, path, got)


def is_offline() -> bool:
    """Return whether MAPSR_OFFLINE or HF_HUB_OFFLINE forbids the network."""
    values = (os.environ.get(name, "") for name in ("MAPSR_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.lower() in {"1", "on", "yes", "true"} for value in values)


def cache_folder() -> Path:
    """Return the folder that downloads go to: weights below mapsr in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "mapsr", "weights")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file of any size, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_state(path: Path) -> "dict[str, torch.Tensor]":
    """Load a state dict to the CPU, without running any code from the file.

    Args:
        path: a safetensors file by its suffix, else a file of ``torch.save``.

    Raises:
        WeightsError: the file can't be read, or holds more than tensors.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    unreadable = (OSError, RuntimeError, EOFError, ValueError, UnpicklingError, SafetensorError)
    try:
        safe = path.suffix == ".safetensors"
        state = load_file(path) if safe else torch.load(path, "cpu", weights_only=True)
        if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())):
            raise ValueError("it holds more than tensors by name")
    except unreadable as error:
        why = str(error).partition("\n")[0]
        raise WeightsError(
            f"can't read the weights in {path}: {why}; expected a safetensors file or a state "
            "dict saved with torch.save; fetch the file again or name another checkpoint."
        ) from error
    return state


def _folder(what: str, value: str) -> Path:
    path = Path(value).expanduser()
    if not path.is_dir():
        raise WeightsError(
            f"{what} is '{value}', which is no folder; name an existing one that holds weights, "
            "or unset it."
        )
    return path


def _hub_cached(weights: Weights) -> Path | None:
    if weights.hub is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(*weights.hub)
    return Path(found) if isinstance(found, str) else None


def _download(weights: Weights) -> ResolvedWeights:
    if is_offline():
        raise _absent(weights, "the network is switched off by MAPSR_OFFLINE or HF_HUB_OFFLINE")
    path = cache_folder() / weights.file
    try:
        url, expected = _address(weights)
        logger.info("downloading %s (%d MiB) from %s", weights.name, weights.size_mib, url)
        with whole_file(path) as temporary:
            got = _fetch(url, temporary)
            if got != expected:
                raise WeightsError(
                    f"the download of {weights.name} from {url} is damaged: SHA-256 is {got}, "
                    f"expected {expected}; try again, or get the file in another way."
                )
    except (OSError, HTTPException, ValueError) as error:
        raise _absent(weights, f"the download failed ({error})") from error
    return ResolvedWeights(weights.name, path, got)


def _address(weights: Weights) -> tuple[str, str | None]:
    """Return where to fetch a file from and the hash it must have."""
    if weights.hub is None:
        assert weights.url is not None, weights
        return weights.url, weights.sha256
    repository, file = weights.hub
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    url = f"{endpoint}/{repository}/resolve/main/{file}"
    if weights.sha256 is not None:
        return url, weights.sha256
    listing_url = f"{endpoint}/api/models/{repository}/tree/main"
    with urllib.request.urlopen(listing_url, timeout=TIMEOUT_S) as stream:
        listing = json.load(stream)
    declared = {item["path"]: item["lfs"]["oid"] for item in listing if "lfs" in item}
    if file not in declared:
        raise ValueError(f"{repository} lists no large file '{file}'")
    return url, declared[file]


def _fetch(url: str, path: Path) -> str:
    """Download to a file and return the hash of what came."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as stream, path.open("wb") as out:
        shutil.copyfileobj(stream, out)
    return sha256_of(path)


def _absent(weights: Weights, why: str) -> WeightsError:
    where = weights.url or f"{weights.source} (file {(weights.hub or ('', ''))[1]})"
    return WeightsError(
        f"the weights {weights.name} are not on this machine and {why}. Fetch them from {where} "
        f"(about {weights.size_mib} MiB, {weights.licence}), save them as {weights.file} in a "
        "folder, and set MAPSR_WEIGHTS=FOLDER. Without any weights, "
        "`backbone=texture upsampler=bilateral` runs."
    )
