"""Which legends a command works with, and the crosswalks between them."""

from collections.abc import Sequence
from dataclasses import dataclass

from mapsr.legends.crosswalk import Crosswalk
from mapsr.legends.legend import Legend
from mapsr.legends.library import load_crosswalk, load_legend
from mapsr.settings import choice


@choice("legend", "legend")
@dataclass(frozen=True)
class LegendSettings:
    """Which products the labels come from; a name of the package or a path of a YAML file."""

    target: str = "chesapeake4"
    """Legend of the map."""
    coarse: str = "nlcd"
    """Legend of the coarse product; `mapsr doctor IMAGE COARSE` says which ones its codes fit."""
    truth: str = "chesapeake_1m"
    """Legend of the truth; read only where scenes have truth."""
    crosswalk: str = "paraformer"
    """Preset that says which target class a product's class stands for."""
    soft: str = "definition"
    """Soft crosswalk for prompts=em and prior=product: "definition", "robinson" (measured on sharp
    labels), "hard" (the crosswalk), or a YAML file of your own."""


@dataclass(frozen=True)
class Legends:
    """The target legend and the crosswalks to it."""

    target: Legend
    coarse: Crosswalk
    truth: Crosswalk
    agree: tuple[Crosswalk, ...] = ()
    """From further coarse products."""

    @staticmethod
    def load(
        settings: LegendSettings, agree: Sequence[str] = (), *, scored: bool = True
    ) -> "Legends":
        """Load and check them.

        Args:
            settings: which ones.
            agree: legends of further coarse products.
            scored: whether truth is read; else its legend need not fit the target's, and the
                coarse product's stands in its place.

        Raises:
            LegendError: an unknown name, a legend or crosswalk that is not whole, or a class of
                the target that no class of the coarse product stands for.
        """
        target = load_legend(settings.target)
        coarse = load_crosswalk(
            settings.crosswalk, load_legend(settings.coarse), target, complete=True
        )
        truth = (
            load_crosswalk(settings.crosswalk, load_legend(settings.truth), target)
            if scored
            else coarse
        )
        further = (load_crosswalk(settings.crosswalk, load_legend(name), target) for name in agree)
        return Legends(target, coarse, truth, tuple(further))
