"""The scores of a unit's chips as one: finished inside, open sums where other units reach in."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mapsr.geo import Window
from mapsr.mapping.outputs import Channels, Output, Scores, Values, empty_values, values_of
from mapsr.mapping.plan import MapPlan, Unit


@dataclass(frozen=True)
class Seam:
    """Pixels of a unit that other units' chips see too.

    Attributes:
        window: where.
        valid: bool (h, w): where the image holds data.
        sums: by layer, float32 (C, h, w): weighted scores of this unit's chips.
    """

    window: Window
    valid: Tensor
    sums: dict[str, Tensor]


@dataclass(frozen=True)
class UnitResult:
    """What a unit gives to the raster.

    Attributes:
        inner: outputs of ``Unit.inner``; empty where that is empty.
        seams: the rest of the unit. A unit without any valid pixel has neither.
        beside: what else is to be kept of the unit, such as counts, by name.
    """

    inner: Values
    seams: tuple[Seam, ...]
    beside: Values = field(default_factory=dict)


class UnitBlend:
    """Blends the scores of a unit's chips, on the device that they are on.

    Memory: layers x C x extent floats. The chips must come in the same order each time, so that
    the sums are the same to the last bit.
    """

    def __init__(self, plan: MapPlan, unit: Unit) -> None:
        self._plan = plan
        self._unit = unit
        self._valid = torch.zeros(0, dtype=torch.bool)  # most units of a sparse mosaic stay empty
        self._sums: dict[str, Tensor] = {}

    def add(self, windows: Sequence[Window], valid: Tensor, scores: Scores) -> None:
        """Add chips of one size: where, their valid pixels (B, h, w), scores (B, C, h, w).

        All of them or, where memory does not suffice, none.
        """
        extent = self._unit.extent
        size, device = (extent.height, extent.width), valid.device
        if not self._valid.numel():
            self._valid = torch.zeros(size, dtype=torch.bool, device=device)
        for layer, values in scores.items():
            if layer not in self._sums:
                self._sums[layer] = torch.zeros(values.shape[1], *size, device=device)
        weights = [self._plan.weight(window).to(device) for window in windows]
        weighted = {
            layer: [one * weight for one, weight in zip(values, weights, strict=True)]
            for layer, values in scores.items()
        }
        for part, window in enumerate(windows):
            rows, columns = window.relative_to(extent).slices
            self._valid[rows, columns] |= valid[part]
            for layer, terms in weighted.items():
                self._sums[layer][:, rows, columns] += terms[part]

    def result(self, outputs: Sequence[Output], channels: Channels | None = None) -> UnitResult:
        """What the unit gives, once all its chips are added; see ``values_of``."""
        if not self._sums:
            return UnitResult({}, ())
        inner: Values = {}
        if window := self._unit.inner:
            inner = values_of(outputs, *self._cut(window), channels)
        seams = []
        for window in self._unit.seams:
            sums, valid = self._cut(window)
            kept = {layer: _on_host(values) for layer, values in sums.items()}
            seams.append(Seam(window, _on_host(valid), kept))
        return UnitResult(inner, tuple(seams))

    def _cut(self, window: Window) -> tuple[dict[str, Tensor], Tensor]:
        rows, columns = window.relative_to(self._unit.extent).slices
        sums = {layer: values[:, rows, columns] for layer, values in self._sums.items()}
        return sums, self._valid[rows, columns]


def _on_host(values: Tensor) -> Tensor:
    """A copy of its own, on the CPU."""
    return values.clone() if values.device.type == "cpu" else values.cpu()


def join(
    plan: MapPlan,
    unit: Unit,
    results: Sequence[UnitResult],
    outputs: Sequence[Output],
    classes: int,
    channels: Channels | None = None,
) -> Values | None:
    """The outputs of the pixels that a unit owns.

    Args:
        plan: of the raster.
        unit: whose pixels are wanted.
        results: of the units in ``plan.touching(unit)``, in that order.
        outputs: what is wanted.
        classes: C.
        channels: what those of the map's scores stand for; None: a class each.

    Returns:
        (bands, h, w) by output; None where none of the pixels is valid.
    """
    [own] = (r for r, u in zip(results, plan.touching(unit), strict=True) if u == unit)
    if not own.inner and not own.seams:
        return None  # its chips see all that it owns, and saw nothing
    owned = unit.owned
    values = empty_values(outputs, classes, (owned.height, owned.width))
    found = [(unit.inner, own.inner)] if unit.inner else []
    for window in filter(None, (seam.intersect(owned) for seam in unit.seams)):
        found.append((window, _joined(window, results, outputs, channels)))
    for window, part in found:
        rows, columns = window.relative_to(owned).slices
        for key, array in part.items():
            values[key][:, rows, columns] = array
    return values


def _joined(
    window: Window,
    results: Sequence[UnitResult],
    outputs: Sequence[Output],
    channels: Channels | None,
) -> Values:
    """The outputs of an area from all units' sums."""
    valid = torch.zeros(window.height, window.width, dtype=torch.bool)
    sums: dict[str, Tensor] = {}
    for seam in (seam for result in results for seam in result.seams):
        common = seam.window.intersect(window)
        if common is None:
            continue
        to, source = common.relative_to(window).slices, common.relative_to(seam.window).slices
        valid[to] |= seam.valid[source]
        for layer, values in seam.sums.items():
            if layer not in sums:
                sums[layer] = torch.zeros(len(values), *valid.shape)
            sums[layer][:, to[0], to[1]] += values[:, source[0], source[1]]
    return values_of(outputs, sums, valid, channels)
