"""Files of earlier versions of the format, in the form of the present one."""

from pathlib import Path
from typing import Any

from mapsr.errors import FittedError

_KEYS = {"version", "legend", "settings", "weights", "crosswalk"}


def upgraded(about: dict[str, Any], file: Path) -> dict[str, Any]:
    """Give what a file of version 1 or 2, which held prompts, says in the form of version 3.

    Raises:
        FittedError: it holds something else than prompts.
    """
    if about["version"] > 2:
        return about
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
        "about": about.get("about"),
    }
