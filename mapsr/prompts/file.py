"""The prompt file: class prompts with all that is needed to apply them elsewhere."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from mapsr.errors import PromptError
from mapsr.files import whole_file
from mapsr.legends import LandClass, Legend
from mapsr.prompts.prompts import ClassPrompts

VERSION = 2
_KEYS = {"version", "legend", "settings", "weights", "crosswalk"}
Plain = dict[str, object]


@dataclass(frozen=True)
class PromptFile:
    """Prompts and what they mean.

    Attributes:
        prompts: one vector per class.
        legend: name of the target legend, class names and colours.
        settings: of backbone, upsampler, refinement, chips and image scale, as plain containers.
        weights: by part ("backbone", "upsampler"), name and SHA-256; None: needs no weights.
        crosswalk: name of the crosswalk that the labels went through.
        about: what they were fitted on, where they were fitted for one map; None in a run.
    """

    prompts: ClassPrompts
    legend: Plain
    settings: Plain
    weights: Plain
    crosswalk: str
    about: Plain | None = None

    @property
    def target(self) -> Legend:
        """The target legend."""
        fields: dict[str, Any] = dict(self.legend)
        classes = tuple(
            LandClass(one["code"], one["name"], tuple(one["color"]), one["target"])
            for one in fields.pop("classes")
        )
        return Legend(classes=classes, nodata=frozenset(fields.pop("nodata")), **fields)


def save_prompts(path: Path, file: PromptFile) -> None:
    """Write a prompt file (safetensors), whole or not at all."""
    about = {
        "version": VERSION,
        "legend": file.legend,
        "settings": file.settings,
        "weights": file.weights,
        "crosswalk": file.crosswalk,
        "about": file.about,
    }
    tensors = {"vectors": file.prompts.vectors, "counts": file.prompts.counts}
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata={"mapsr": json.dumps(about)})


def load_prompts(path: Path) -> PromptFile:
    """Read the prompts of a run folder, or of a prompt file.

    Raises:
        PromptError: nothing there, unreadable, or from another version of mapsr.
    """
    file = path / "prompts.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise PromptError(
            f"No prompts at {file}: give the folder of a finished run of method=mapsr, or a prompt "
            "file."
        )
    try:
        with safe_open(file, framework="pt") as opened:
            about = json.loads((opened.metadata() or {}).get("mapsr", "null"))
    except (SafetensorError, OSError) as error:
        raise PromptError(f"{file} is no readable safetensors file: {error}.") from error
    except json.JSONDecodeError:
        about = None
    # networks and clusters are kept in such files too
    keys = about.keys() if isinstance(about, dict) else set()
    if "version" not in keys or (about["version"] in (1, VERSION) and not keys >= _KEYS):
        raise PromptError(f"{file} holds no prompts of mapsr.")
    about = _upgraded(about)
    if about["version"] != VERSION:
        raise PromptError(
            f"{file} has version {about['version']} of the prompt file, expected {VERSION}: fit "
            "the prompts again."
        )
    tensors = load_file(file)
    return PromptFile(
        ClassPrompts(tensors["vectors"], tensors["counts"]),
        about["legend"],
        about["settings"],
        about["weights"],
        about["crosswalk"],
        about["about"],
    )


def _upgraded(about: dict[str, Any]) -> dict[str, Any]:
    """The content of a file of version 1 in the form of version 2, others as they are."""
    if about["version"] != 1:
        return about
    # all images were bytes, or had a scale that says so; the number of bands was not noted
    image = about["settings"]["image"] | {"dtype": None}
    return about | {
        "version": VERSION,
        "settings": about["settings"] | {"image": image},
        "about": None,
    }
