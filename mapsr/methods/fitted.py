"""A fitted method as a file: one format for all, with what it takes to apply it elsewhere."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from mapsr.errors import FittedError, MapsrError
from mapsr.files import save_tensors
from mapsr.geo import WindowSettings
from mapsr.legends import NODATA, Legend
from mapsr.methods import said
from mapsr.methods.earlier import upgraded
from mapsr.methods.method import ImageFacts, Method, State, Task
from mapsr.methods.parts import MethodParts, Runtime
from mapsr.paths import is_there
from mapsr.plugins import load_choices
from mapsr.settings import Plain, chosen, plain
from mapsr.weights import sha256_of

FILE = "fitted.safetensors"
"""Its name in a folder of a run or of maps."""
SUFFIX = ".fitted.safetensors"
"""How its name ends beside a map."""
VERSION = 3
"""Of the format; 1 and 2 held prompts alone."""

Weights = Mapping[str, Mapping[str, str] | None]


@dataclass(frozen=True)
class FittedMethod:
    """A fitted method with all that it takes to apply it elsewhere; may be sent elsewhere.

    Attributes:
        parts: the settings that it was fitted with.
        target: legend of its maps.
        crosswalk: name of the crosswalk that its labels went through.
        channels: target class of each channel of the map's scores, 255 for none; None: a class
            each.
        product: legend of the coarse product that it was fitted on; None: a file of an earlier
            version, which does not say it.
        image: what images it wants.
        windows: chips and work units that it was fitted for.
        weights: of each part that began with published weights, their name and SHA-256.
        state: what the fit came to.
        about: what it was fitted on, where it was fitted for maps; None in a run.
        sha256: of its file; "" where it has none yet.
    """

    parts: MethodParts
    target: Legend
    crosswalk: str
    image: ImageFacts
    windows: WindowSettings
    weights: Weights
    state: State
    channels: tuple[int, ...] | None = None
    product: Legend | None = None
    about: Plain | None = None
    sha256: str = field(default="", compare=False)

    @staticmethod
    def of(
        method: Method, parts: MethodParts, task: Task, windows: WindowSettings
    ) -> "FittedMethod":
        """Describe a method that was just fitted."""
        return FittedMethod(
            parts=parts.only_used(),
            target=task.coarse.target,
            crosswalk=task.coarse.name,
            image=task.image,
            windows=windows,
            weights=method.weights,
            state=method.state(),
            channels=method.channels,
            product=task.coarse.source,
        )

    def build(self, runtime: Runtime) -> Method:
        """Build the method on a device.

        Raises:
            WeightsError: weights are absent or damaged.
            FittedError: the weights found here are not those that it was fitted with, or what was
                fitted is not whole.
        """
        method = self.parts.build(runtime, self.target)
        for name, known in self.weights.items():
            found = method.weights.get(name, known)
            if (found or {}).get("sha256") != (known or {}).get("sha256"):
                raise FittedError(
                    f"The {name}'s weights here ({_shown(found)}) are not those that the method "
                    f"was fitted with ({_shown(known)}): fit it again, or fetch those weights."
                )
        method.load(self.state)
        if method.channels != self.channels:
            raise FittedError(
                "What the file says of its scores' channels is not what its method gives: fit it "
                "again."
            )
        return method

    def adjusted(self, parts: Mapping[str, Any], windows: WindowSettings) -> "FittedMethod":
        """The same fit, applied with other parts that may be changed, and other windows."""
        return replace(self, parts=replace(self.parts, **parts), windows=windows)

    def save(self, path: Path) -> "FittedMethod":
        """Write it, whole or not at all, and return it with the file's hash.

        Raises:
            OSError: the file can't be written.
        """
        about = {
            "version": VERSION,
            "kind": plain(self.parts.method)["kind"],
            "legend": _plain_legend(self.target),
            "product": self.product and _plain_legend(self.product),
            "crosswalk": self.crosswalk,
            "image": asdict(self.image),
            "channels": self.channels and list(self.channels),
            "settings": self.parts.plain() | {"windows": plain(self.windows)},
            "weights": {name: known and dict(known) for name, known in self.weights.items()},
            "facts": self.state.facts,
            "about": self.about,
        }
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.state.tensors.items()}
        save_tensors(path, tensors, {"mapsr": json.dumps(about)})
        return replace(self, sha256=sha256_of(path))


def find_fitted(path: Path) -> Path:
    """Find the file that a path stands for: itself, or the one in a folder of a run or of maps.

    Raises:
        FittedError: there is none, or a folder holds several.
    """
    if is_there(path) and path.is_file():
        return path
    if is_there(path) and path.is_dir():
        if (path / FILE).is_file():
            return path / FILE
        beside = sorted(path.glob(f"*{SUFFIX}"))
        if len(beside) > 1:
            listed = ", ".join(one.name for one in beside[:3])
            raise FittedError(
                f"{path} holds {len(beside)} fitted methods ({listed}, ...), expected one: name "
                "the file."
            )
        earlier = [*beside, path / "prompts.safetensors"]
        found = next((one for one in earlier if one.is_file()), None)
        if found:
            return found
        raise FittedError(
            f"There is no fitted method in {path} ({FILE}): give the folder of a finished run or "
            "of maps, or the file."
        )
    # as files of prompts were called before
    renamed = path.with_name(path.name.replace("prompts.safetensors", FILE))
    if renamed != path and is_there(renamed) and renamed.is_file():
        return renamed
    raise FittedError(
        f"There is no file or folder {str(path)[:300]}: give the folder of a finished run or of "
        f"maps, or a file such as {FILE}."
    )


def load_fitted(path: Path) -> FittedMethod:
    """Read a fitted method: of a run folder, of a folder of maps, or a file.

    Raises:
        FittedError: nothing is there, it can't be read or is damaged, is of a newer version of
            mapsr, or of a method that is not known here.
    """
    file = find_fitted(path)
    about, tensors = _read(file, tensors=True)
    try:
        settings, made = said.mapping(about["settings"], "settings"), about["about"]
        said.require_finite(tensors)
        _require_parts(settings)
        return FittedMethod(
            parts=MethodParts.from_plain(settings),
            target=said.legend_of(about["legend"], "legend"),
            crosswalk=said.text(about["crosswalk"], "crosswalk"),
            image=said.image_of(about["image"]),
            windows=chosen("windows", settings["windows"]),
            weights=said.weights_of(about["weights"]),
            state=State(tensors, said.mapping(about["facts"], "facts")),
            channels=_channels(about["channels"], len(about["legend"]["classes"])),
            product=said.legend_of(about["product"], "product") if about.get("product") else None,
            about=None if made is None else said.mapping(made, "about"),
            sha256=sha256_of(file),
        )
    except (LookupError, TypeError, ValueError, AttributeError, MapsrError) as error:
        reason = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise FittedError(
            f"{file} can't be used: what it says of its method is not whole ({reason}). It is "
            "damaged, or needs a plug-in that is not here."
        ) from error


def describe_fitted(path: Path) -> Plain:
    """Read what a fitted method's file says of it, without its tensors.

    Returns:
        Plain containers, with "settings" by group.

    Raises:
        FittedError: as ``load_fitted``.
    """
    file = find_fitted(path)
    about, _ = _read(file, tensors=False)
    settings = about.get("settings")
    if not isinstance(settings, dict) or not isinstance(settings.get("windows"), dict):
        raise FittedError(f"{file} can't be used: what it says of its settings is not whole.")
    return about


def _read(file: Path, *, tensors: bool) -> tuple[Plain, dict[str, torch.Tensor]]:
    load_choices()  # its method may be of any room, or of a plug-in
    try:
        with safe_open(file, framework="pt") as opened:
            about = json.loads((opened.metadata() or {}).get("mapsr", "null"))
            json.dumps(about, ensure_ascii=False).encode()  # half a character could not be written
            names = opened.keys() if tensors else ()
            found = {name: opened.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise FittedError(
            f"{file} is not a readable safetensors file ({error}): fit the method again."
        ) from error
    if not isinstance(about, dict) or "version" not in about:
        raise FittedError(f"{file} does not hold a fitted method of mapsr.")
    if type(about["version"]) is not int or not 0 < about["version"] <= VERSION:
        raise FittedError(
            f"{file} has version {about['version']} of the format, this mapsr reads up to "
            f"{VERSION}: update mapsr, or fit the method again."
        )
    return upgraded(about, file), found


def _channels(table: Sequence[int] | None, classes: int) -> tuple[int, ...] | None:
    known = {*range(classes), NODATA}
    if table is not None and not all(type(one) is int and one in known for one in table):
        raise ValueError(f"channels are {table}, expected numbers of {classes} classes, or null")
    return None if table is None else tuple(table)


def _require_parts(settings: Plain) -> None:
    """Raise ValueError where settings of a group are missing without which nothing is scored."""
    uses = MethodParts.from_plain(settings).method.uses
    for name in ("backbone", "upsampler", "refine", "network", "training"):
        if name in uses and settings.get(name) is None:
            raise ValueError(f"'settings.{name}' is missing")


def _plain_legend(legend: Legend) -> Plain:
    return asdict(legend) | {"nodata": sorted(legend.nodata)}


def _shown(weights: Mapping[str, str] | None) -> str:
    return f"{weights['name']} {weights['sha256'][:12]}" if weights else "none"
