"""The minimum mapping unit: the smallest patch that a map shows."""

import math
import re
from dataclasses import dataclass

from mapsr.errors import ConfigError
from mapsr.geo import Grid, Window
from mapsr.geo.ground import pixel_areas
from mapsr.measure.joint import HECTARE_M2

_UNIT = re.compile(r"([0-9]*\.?[0-9]+(?:e-?[0-9]+)?)\s*(ha|px)")

_ROUNDING = 1e-6
"""Areas are measured so well: a pixel of one hectare must not fall short of one."""


@dataclass(frozen=True)
class MinimumUnit:
    """The smallest patch that a map shows, in hectares or in pixels."""

    size: float
    unit: str

    @classmethod
    def read(cls, text: str) -> "MinimumUnit":
        """Read "0.25ha" or "40px".

        Raises:
            ConfigError: it is neither.
        """
        found = _UNIT.fullmatch(text.strip().lower())
        if found is None or not math.isfinite(float(found[1])) or float(found[1]) <= 0:
            raise ConfigError(
                f"mmu={text} can't be read, expected hectares or pixels: 0.25ha, 40px."
            )
        return cls(float(found[1]), found[2])

    def pixels(self, grid: Grid) -> int:
        """How many pixels of a grid reach that, measured at its centre; at least 1."""
        if self.unit == "px":
            return math.ceil(self.size)
        middle = Window(grid.height // 2, grid.width // 2, 1, 1)
        whole = self.size * HECTARE_M2 / float(pixel_areas(grid, middle)[0, 0])
        return math.ceil(whole * (1 - _ROUNDING))
