"""What MapSR's fit came to, as its file holds it: prompts, probe and prior, checked."""

import torch

from mapsr.errors import FittedError
from mapsr.legends import NODATA
from mapsr.methods.method import State
from mapsr.methods.said import is_positive
from mapsr.prompts import (
    ClassPrompts,
    LinearProbe,
    PriorSettings,
    ProbeSettings,
    ProductPrior,
)


def prior_of(state: State, classes: int, settings: PriorSettings) -> ProductPrior | None:
    """The prior of a file, checked.

    Raises:
        FittedError: the method was fitted without one, or it is not whole.
    """
    shares, area = (state.tensors.get(f"prior.{name}") for name in ("shares", "area"))
    if shares is None or area is None:
        raise FittedError(
            "The method was fitted without a soft crosswalk, so the product can have no say: fit "
            "it with prior=product, or leave prior= out."
        )
    whole = (
        shares.dim() == 2
        and shares.shape[1:] == area.shape == (classes,)
        and all(one.is_floating_point() for one in (shares, area))
        and bool((shares >= 0).all() and (area >= 0).all() and area.sum() > 0)
        and bool(torch.isfinite(shares).all() and torch.isfinite(area).all())
    )
    if not whole:
        raise FittedError(
            f"The shares of the file are not whole, expected one for each of {classes} classes: "
            "fit the method again."
        )
    return settings.learned(shares, area)


def prompts_of(state: State, classes: int) -> ClassPrompts:
    """Prompts of a file, checked.

    Raises:
        FittedError: they are not whole.
    """
    vectors, counts = (state.tensors.get(name) for name in ("vectors", "counts"))
    whole = (
        vectors is not None
        and counts is not None
        and vectors.dim() == 2
        and vectors.dtype == torch.float32
        and counts.dtype == torch.int64
        and counts.shape == vectors.shape[:1] == (classes,)
        and bool(torch.isfinite(vectors).all())
        and int((counts > 0).sum()) >= 2
        and int(counts.min()) >= 0
    )
    if not whole or vectors is None or counts is None:
        raise FittedError(
            f"The prompts of the file are not whole, expected finite float32 vectors and counts of "
            f"{classes} classes, two of them at least with pixels: fit the method again."
        )
    return ClassPrompts(vectors, counts)


def probe_of(state: State, classes: int) -> LinearProbe | None:
    """The probe of a file, checked; None where it has none.

    Raises:
        FittedError: it is not whole.
    """
    weight, bias = state.tensors.get("probe.weight"), state.tensors.get("probe.bias")
    if weight is None:
        return None
    said = state.facts.get("probe")
    table, scale = (said.get("table"), said.get("scale")) if isinstance(said, dict) else (None, 0)
    known = {*range(classes), NODATA}
    whole = (
        isinstance(table, list)
        and all(type(one) is int and one in known for one in table)
        and is_positive(scale)
        and weight.dim() == 2
        and weight.shape[0] == len(table)
        and (bias is None or bias.shape == weight.shape[:1])
        and all(one is None or one.dtype == torch.float32 for one in (weight, bias))
        and all(one is None or bool(torch.isfinite(one).all()) for one in (weight, bias))
    )
    if not whole or table is None or scale is None:
        raise FittedError("The probe of the file is not whole: fit the method again.")
    settings = ProbeSettings(bias is not None, 1, 1, 1.0, 0.0)
    probe = LinearProbe(weight.shape[1], tuple(table), classes, scale, settings)
    with torch.no_grad():
        probe.weight.copy_(weight)
        if probe.bias is not None and bias is not None:
            probe.bias.copy_(bias)
    return probe
