"""What `mapsr label` takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mapsr
from mapsr.contents import contents_of
from mapsr.errors import ConfigError, require_choice, require_range
from mapsr.labelling import VotingSettings
from mapsr.mapping.settings import WorkSettings
from mapsr.settings import MISSING, aside, choice, group, plain
from mapsr.tracking import fingerprint_hash

RUNS = Path("outputs/labels")
"""Where run folders are, unless ``output`` says so."""
_MOST_ROUNDS = 100


@choice("expansion", "rounds")
@dataclass(frozen=True)
class ExpansionSettings:
    """How models expand labels.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """

    start: str = "fresh"
    """Whether the model of a later round starts "fresh", or "warm" from that of the round before,
    which only methods that train a network can."""
    weight: float | None = None
    """Weight of the model's vote, such as 0.2; null: by its accuracy on validation truth (above 85
    %: 0.3, above 80 %: 0.2, else 0.1), and 0.1 without truth, where its accuracy is unknown."""
    validation_share: float = 0.5
    """Share of truth= that decides when to stop; the rest is the test."""
    held_out: float = 0.1
    """Without truth: share of the trusted pixels that models do not learn from, so that their
    agreement with the model decides when to stop."""
    block_px: int = 100
    """Side in pixels of the blocks that truth or trusted pixels are split in."""
    least_new: float = 0.002
    """Without truth: stop where a round newly trusts a smaller share of all pixels."""

    def __post_init__(self) -> None:
        require_choice(self.start, ("fresh", "warm"), "expansion.start")
        for name in ("validation_share", "held_out"):
            require_range(getattr(self, name), f"expansion.{name}", low=0.01, high=0.99)
        require_range(self.least_new, "expansion.least_new", high=1)
        require_range(self.block_px, "expansion.block_px", low=1)
        if self.weight is not None and round(self.weight * 10, 9) not in range(1, 101):
            raise ConfigError(
                f"expansion.weight is {self.weight}, expected tenths from 0.1 to 10, such as 0.2."
            )

    @property
    def weight_tenths(self) -> int | None:
        """The given weight in tenths."""
        return None if self.weight is None else round(10 * self.weight)


@dataclass(frozen=True, kw_only=True)
class LabelSettings(WorkSettings):
    """Everything that `mapsr label` takes."""

    voting: VotingSettings = group()
    expansion: ExpansionSettings = group()
    image: str = MISSING
    """A raster (a VRT is one), a pattern such as tiles/*.tif, or a CSV list (column image_fn)."""
    registry: str = MISSING
    """The historical products: a YAML file, or a registry of mapsr such as ecovision."""
    paths: dict[str, Any] | None = None
    """Path, pattern or list of them by product, in place of what the registry says."""
    reference: int | None = None
    """Year of the images; null: as the registry says."""
    truth: str | None = None
    """Truth to score with, a raster or a pattern; a part of it decides when to stop."""
    validation: str | None = None
    """In place of truth=: truth that decides when to stop."""
    test: str | None = None
    """In place of truth=: truth that only tells how good the labels are."""
    truth_legend: str | None = None
    """Legend of the truth: a name, or a YAML file; null: that of the map."""
    crosswalk: str = "paraformer"
    """Preset that says which class of the map a class of the truth stands for."""
    rounds: int = 0
    """Rounds of expansion at the most; 0: vote, and stop."""
    votes: str | None = aside(None)
    """Run folder of an earlier `mapsr label` with these products and voting settings: its votes are
    taken over."""
    patch: int = 1024
    """Side of a patch in pixels, the work unit of voting; with voting.thresholds=patch what a
    threshold is derived for."""
    scale: float | None = None
    """Raw image value that becomes 1 for models; null: 255 for bytes."""
    bands: int | None = None
    """How many leading bands models read; null: all."""
    name: str = "labels"
    """What the run is called."""
    output: str | None = aside(None)
    """Run folder; null: outputs/labels/NAME-HASH-sSEED."""
    overwrite: bool = aside(False)
    """Give up another run's results in the same folder."""
    dry_run: bool = aside(False)
    """Say what would be done, and do nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self.rounds, "rounds", high=_MOST_ROUNDS)
        require_range(self.patch, "patch", low=16)
        if self.scale is not None:
            require_range(self.scale, "scale", low=1e-6, high=1e12)
        if self.bands is not None:
            require_range(self.bands, "bands", low=1)
        if not self.name or "/" in self.name:
            raise ConfigError(f"name is '{self.name}', expected a word without slashes.")
        if self.truth and (self.validation or self.test):
            raise ConfigError(
                "truth= is set, and so is validation= or test=, expected either truth=, which is "
                "split in two, or the two parts."
            )
        if self.expansion.start == "warm" and self.rounds and "training" not in self.method.uses:
            raise ConfigError(
                "expansion.start=warm, but the method trains no network that could go on: choose "
                "expansion.start=fresh, or a method such as unet."
            )

    def fingerprint(self, inputs: Mapping[str, object]) -> dict[str, object]:
        """What the run's results depend on.

        Args:
            inputs: size and time of all files that are read, by path.
        """
        keys = ["voting", *(("expansion", "windows", *self.used) if self.rounds else ())]
        groups = {key: contents_of(getattr(self, key), self.weights_folder) for key in keys}
        names = ("rounds", "patch", "truth_legend", "crosswalk", "seed", "reference")
        own = (*names, *(("recipe", "scale", "bands") if self.rounds else ()))
        values = {name: plain(getattr(self, name)) for name in own}
        return {**groups, **values, "version": mapsr.__version__, "inputs": dict(inputs)}

    def path(self, fingerprint: Mapping[str, object]) -> Path:
        """The run folder of a run with these settings and this fingerprint."""
        if self.output:
            return Path(self.output)
        return RUNS / f"{self.name}-{fingerprint_hash(fingerprint)[:8]}-s{self.seed}"
