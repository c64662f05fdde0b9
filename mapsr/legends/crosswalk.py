"""A crosswalk: which class of a target legend each class of a product stands for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import LegendError
from mapsr.legends.legend import NODATA, Legend


@dataclass(frozen=True)
class Crosswalk:
    """A table from the classes of a product to those of a target legend.

    Raises:
        LegendError: the table does not have one entry for each class of ``source``, or an entry is
            not a class of ``target``.
    """

    name: str
    """Preset it comes from."""
    source: Legend
    """Legend of the product."""
    target: Legend
    """Legend of the map."""
    table: tuple[int, ...]
    """Index of the target class by index of the source class; 255 where it is left out."""

    def __post_init__(self) -> None:
        if len(self.table) != len(self.source):
            raise LegendError(
                f"Crosswalk '{self.name}' has {len(self.table)} entries, expected one for each of "
                f"the {len(self.source)} classes of legend '{self.source.name}'."
            )
        for index in self.table:
            if not (0 <= index < len(self.target) or index == NODATA):
                raise LegendError(
                    f"Crosswalk '{self.name}' holds the index {index}, expected a class of legend "
                    f"'{self.target.name}' (0..{len(self.target) - 1}) or {NODATA} to leave it out."
                )

    def apply(self, indices: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn class indices of the source into class indices of the target.

        Args:
            indices: uint8 of any shape; 255 is nodata.

        Returns:
            uint8 of the same shape; 255 for nodata and for classes that are left out.
        """
        table = np.full(NODATA + 1, NODATA, dtype=np.uint8)
        table[: len(self.table)] = self.table
        return table[indices]

    def targets(self) -> dict[int, str | None]:
        """Return the name of the target class by product code, None where it is left out."""
        return {
            code: None if index == NODATA else self.target.names[index]
            for code, index in zip(self.source.codes, self.table, strict=True)
        }
