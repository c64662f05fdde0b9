"""Files of earlier versions of the format, in the form of the present one."""

from pathlib import Path
from typing import Any

from mapsr.errors import FittedError
from mapsr.legends import NODATA

_KEYS = {"version", "legend", "settings", "weights", "crosswalk"}


def upgraded(about: dict[str, Any], file: Path) -> dict[str, Any]:
    """Give what a file says in the present form: of version 1 or 2, which held prompts, or 3.

    Raises:
        FittedError: it holds something else than prompts.
    """
    if about["version"] > 2:
        # of a file that does not say it; one of several outputs for a class gave their largest
        return {"channels": _channels_of(about.get("facts"))} | about
    if not about.keys() >= _KEYS:
        raise FittedError(f"{file} does not hold a fitted method: it is of an earlier version.")
    settings = about["settings"]
    if not isinstance(settings, dict) or not isinstance(settings.get("image"), dict):
        raise FittedError(f"{file} does not hold a fitted method: its settings are not whole.")
    settings = dict(settings)
    # version 1 did not note the number of bands' type: all images were bytes, or had a scale
    image = {"dtype": None} | settings.pop("image")
    parts = {"method": {"kind": "mapsr"}, "prompts": {"kind": "coarse"}}
    return about | {
        "version": 3,
        "settings": parts | settings,
        "image": image,
        "facts": {},
        "channels": None,
        "about": about.get("about"),
    }


def _channels_of(facts: Any) -> list[int] | None:  # noqa: ANN401 - as the file has them
    """What a network's outputs stand for, where several of them stand for one class."""
    outputs = facts.get("outputs") if isinstance(facts, dict) else None
    targets = outputs.get("targets") if isinstance(outputs, dict) else None
    if not isinstance(targets, list):
        return None
    stands = [one for one in targets if one != NODATA]
    return targets if len(set(stands)) < len(stands) else None
