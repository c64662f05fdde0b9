"""Which public weights mapsr knows, and where on this machine they are."""

import logging
import os
import re
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from mapsr.checkpoints import load_state
from mapsr.downloads import address, fetch, sha256_of
from mapsr.errors import WeightsError, near_match
from mapsr.files import whole_file
from mapsr.paths import is_there, local_path
from mapsr.published import REGISTRY, Weights, of_timm, require_accepted
from mapsr.trust import Evidence, record, recorded

__all__ = [
    "REGISTRY",
    "ResolvedWeights",
    "Weights",
    "cache_folder",
    "entry",
    "find_entry",
    "is_offline",
    "load_state",
    "locate",
    "resolve",
    "sha256_of",
    "verified_against",
    "verify",
    "weights_name",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResolvedWeights:
    """Weights found on this machine.

    Attributes:
        name: name in the registry; for a checkpoint of one's own, the name of its file.
        path: the file.
        sha256: its hash.
    """

    name: str
    path: Path
    sha256: str


def entry(name: str) -> Weights:
    """Return the registry's entry, or one made for "timm/MODEL.TAG".

    Raises:
        WeightsError: no weights are called so.
    """
    found = find_entry(name)
    if found is None:
        raise WeightsError(
            f"no weights are called '{name}', expected one of {', '.join(sorted(REGISTRY))}, or "
            f"timm/MODEL.TAG.{near_match(name, REGISTRY)}"
        )
    return found


def find_entry(name: str) -> Weights | None:
    """Return what is known of weights; None: nothing is called so."""
    return REGISTRY.get(name) or of_timm(name, REGISTRY.values())


def weights_name(settings: object) -> str | None:
    """Name of the published weights of settings: where they leave it open, by their model.

    Returns:
        The name; None where the settings have no weights.
    """
    name, model = getattr(settings, "weights", ""), getattr(settings, "model", None)
    if name is None and isinstance(model, str):
        return entry(f"timm/{model}").name
    return name if isinstance(name, str) and name else None


def resolve(
    name: str,
    checkpoint: str | None = None,
    folder: str | None = None,
    accepted: str | None = None,
) -> ResolvedWeights:
    """Find weights on this machine, else download them.

    The order is: ``checkpoint``, ``folder``, the folder MAPSR_WEIGHTS, the caches of mapsr and of
    the Hugging Face hub, the network, which MAPSR_OFFLINE=1 or HF_HUB_OFFLINE=1 forbids. A file
    must have the published hash or, where that is not known, the one that it had when it was first
    used, which is noted down then; except ``checkpoint``, which may be anybody's training.

    Args:
        name: a name in the registry, or "timm/MODEL.TAG".
        checkpoint: path of a file to use in place of the published one.
        folder: a folder that holds files under the registry's file names.
        accepted: licence that was read and accepted, for weights that ask for it.

    Raises:
        WeightsError: no weights are called so.
        WeightsError: they ask for a licence to be accepted, and it is not.
        WeightsError: ``checkpoint``, ``folder`` or MAPSR_WEIGHTS names nothing.
        WeightsError: the file is damaged or was changed; see ``verify``.
        WeightsError: the weights are not here and can't be downloaded.
    """
    weights = entry(name)
    if checkpoint is not None:
        path = local_path(checkpoint, "checkpoint", WeightsError) if checkpoint.strip() else Path()
        if not (is_there(path) and path.is_file()):
            raise WeightsError(
                f"checkpoint '{checkpoint}' for {name} is not a file; name an existing one, or "
                "leave checkpoint unset to use the published weights."
            )
        return ResolvedWeights(path.name, path, sha256_of(path))
    require_accepted(weights, accepted)
    found = locate(name, folder)
    if found is None:
        return _download(weights)
    verified = verify(weights, found)
    if _evidence(weights, found)[1] == "nothing":
        _note(weights, verified, "first use")
    return verified


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
    """Return the file with its hash once that is known to be the right one.

    Raises:
        WeightsError: the file is damaged: its hash is not the published one, nor the one that the
            hub declared.
        WeightsError: the file was changed since it was first used.
    """
    expected, evidence, note = _evidence(weights, path)
    got = sha256_of(path)
    if expected is not None and got != expected:
        if evidence == "first use":
            raise WeightsError(
                f"the weights {weights.name} in {path} have changed since they were first used: "
                f"SHA-256 is {got}, expected {expected}; put the former file back, or delete "
                f"{note} if the change is meant."
            )
        raise WeightsError(
            f"the weights {weights.name} in {path} are damaged: SHA-256 is {got}, expected "
            f"{expected}; delete the file and run `mapsr weights fetch {weights.name}`."
        )
    return ResolvedWeights(weights.name, path, got)


def verified_against(name: str, folder: str | None = None) -> Evidence:
    """Say what weights are verified against when they are used.

    Args:
        name: a name in the registry.
        folder: a folder to look into first.

    Returns:
        "registry", "hub" (what the hub declares), "first use", or "nothing": they were never used,
        and whatever they are then is trusted from then on. For weights that are not here, what a
        download is verified against.

    Raises:
        WeightsError: see ``locate``; or a note of a hash can't be read.
    """
    weights, path = entry(name), locate(name, folder)
    if path is None:
        return "registry" if weights.sha256 else "hub"
    return _evidence(weights, path)[1]


def _evidence(weights: Weights, path: Path) -> tuple[str | None, Evidence, Path | None]:
    """The hash that a file must have, where that is from, and the note that holds it."""
    if weights.sha256 is not None:
        return weights.sha256, "registry", None
    # a file in the hub's cache is called by the hash that the hub declared for it
    blob = path.resolve().name
    if re.fullmatch("[0-9a-f]{64}", blob):
        return blob, "hub", None
    note = recorded(weights.file, path.parent, cache_folder())
    return (note.sha256, note.origin, note.file) if note else (None, "nothing", None)


def _note(weights: Weights, found: ResolvedWeights, origin: Evidence) -> None:
    """Note down the hash of weights; without a place for it, say that they are not verified."""
    try:
        file = record(weights.file, found.sha256, origin, found.path.parent, cache_folder())
    except OSError as error:
        logger.warning(
            "the weights %s in %s are not verified: their hash can't be noted down (%s)",
            weights.name,
            found.path,
            error,
        )
        return
    logger.info("the hash of %s (%s) is noted down in %s", weights.name, origin, file)


def is_offline() -> bool:
    """Return whether MAPSR_OFFLINE or HF_HUB_OFFLINE forbids the network."""
    values = (os.environ.get(name, "") for name in ("MAPSR_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.lower() in {"1", "on", "yes", "true"} for value in values)


def cache_folder() -> Path:
    """Return the folder that downloads go to: weights below mapsr in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "mapsr", "weights")


def _folder(what: str, value: str) -> Path:
    path = local_path(value, what, WeightsError)
    if not (is_there(path) and path.is_dir()):
        raise WeightsError(
            f"{what} is '{value}', which is not a folder; name an existing one that holds weights, "
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
        url, expected = address(weights)
        logger.info("downloading %s (%s) from %s", weights.name, weights.facts, url)
        with whole_file(path) as temporary:
            got = fetch(url, temporary)
            if got != expected:
                raise WeightsError(
                    f"the download of {weights.name} from {url} is damaged: SHA-256 is {got}, "
                    f"expected {expected}; try again, or get the file in another way."
                )
    except (OSError, HTTPException, ValueError) as error:
        raise _absent(weights, f"the download failed ({error})") from error
    found = ResolvedWeights(weights.name, path, got)
    if weights.sha256 is None:
        _note(weights, found, "hub")
    return found


def _absent(weights: Weights, why: str) -> WeightsError:
    where = weights.url or f"{weights.source} (file {(weights.hub or ('', ''))[1]})"
    return WeightsError(
        f"the weights {weights.name} are not on this machine and {why}. Fetch them from {where} "
        f"({weights.facts}), save them as {weights.file} in a "
        "folder, and set MAPSR_WEIGHTS=FOLDER. Without any weights, "
        "`backbone=texture upsampler=bilateral` runs."
    )
