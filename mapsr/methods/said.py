"""What a fitted file says of itself, checked value by value: a file may be damaged, or made up."""

import math
from collections.abc import Mapping

import torch

from mapsr.legends import LandClass, Legend
from mapsr.methods.method import ImageFacts
from mapsr.settings import Plain

_MOST_BANDS = 10_000
_SCALES = (1e-6, 1e12)


def mapping(value: object, what: str) -> Plain:
    """Return a mapping of texts to whatever.

    Raises:
        ValueError: it is none, with what was got and expected.
    """
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _wrong(what, value, "a mapping")
    return value


def text(value: object, what: str) -> str:
    """Return a text; raises as ``mapping``."""
    if not isinstance(value, str):
        raise _wrong(what, value, "a text")
    return value


def whole(value: object, what: str, low: int, high: int) -> int:
    """Return a whole number in [low, high]; raises as ``mapping``."""
    if type(value) is not int or not low <= value <= high:
        raise _wrong(what, value, f"a whole number in [{low}, {high}]")
    return value


def number(value: object, what: str, low: float, high: float) -> float:
    """Return a finite number in [low, high]; raises as ``mapping``."""
    if type(value) not in (int, float) or not low <= value <= high:  # type: ignore[operator]
        raise _wrong(what, value, f"a number in [{low:g}, {high:g}]")
    return value  # type: ignore[return-value]


def image_of(said: object) -> ImageFacts:
    """What images a method wants; raises as ``mapping``."""
    values = mapping(said, "image")
    bands, dtype = values["bands"], values["dtype"]
    return ImageFacts(
        scale=number(values["scale"], "image.scale", *_SCALES),
        bands=None if bands is None else whole(bands, "image.bands", 1, _MOST_BANDS),
        dtype=None if dtype is None else text(dtype, "image.dtype"),
    )


def legend_of(said: object, what: str) -> Legend:
    """A legend; raises as ``mapping``, or LegendError where its classes contradict each other."""
    values = mapping(said, what)
    if not isinstance(values["classes"], list) or not isinstance(values["nodata"], list):
        raise _wrong(f"{what}.classes", values["classes"], "a list, and one of nodata codes")
    texts = {key: text(values[key], f"{what}.{key}") for key in ("name", "title", "source")}
    nodata = frozenset(whole(code, f"{what}.nodata", 0, 1 << 31) for code in values["nodata"])
    classes = tuple(_class(one, f"{what}.classes") for one in values["classes"])
    return Legend(**texts, classes=classes, nodata=nodata)


def weights_of(said: object) -> dict[str, Mapping[str, str] | None]:
    """Name and SHA-256 of published weights by part; raises as ``mapping``."""
    found: dict[str, Mapping[str, str] | None] = {}
    for part, known in mapping(said, "weights").items():
        if known is not None:
            known = mapping(known, f"weights.{part}")
            known = {key: text(known[key], f"weights.{part}.{key}") for key in ("name", "sha256")}
        found[part] = known
    return found


def require_finite(tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse tensors that hold what is not a number; raises as ``mapping``."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"'{name}' holds values that are not finite numbers")


def _class(said: object, what: str) -> LandClass:
    values = mapping(said, what)
    target, color = values["target"], values["color"]
    if not isinstance(color, list) or len(color) != 3:
        raise _wrong(f"{what}.color", color, "red, green and blue")
    red, green, blue = (whole(one, f"{what}.color", 0, 255) for one in color)
    return LandClass(
        whole(values["code"], f"{what}.code", 0, 65535),
        text(values["name"], f"{what}.name"),
        (red, green, blue),
        None if target is None else text(target, f"{what}.target"),
    )


def _wrong(what: str, value: object, expected: str) -> ValueError:
    got = repr(value)
    return ValueError(f"'{what}' is {got if len(got) < 60 else got[:57] + '...'}, not {expected}")


def is_positive(value: object) -> bool:
    """Tell whether a value is a finite number above 0."""
    return type(value) in (int, float) and 0 < value < math.inf  # type: ignore[operator]
