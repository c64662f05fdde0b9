"""The settings of an experiment, as one value."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mapsr.data import DataSettings, Scenes
from mapsr.errors import ConfigError
from mapsr.mapping.settings import FitAndMapSettings
from mapsr.paths import local_path
from mapsr.settings import aside, group
from mapsr.tracking import LoggerSettings, fingerprint_hash, fingerprint_of
from mapsr.tracking.fingerprint import Fingerprint

_COMMON = ("data", "legend", "windows", "method", "seed", "transductive")
RUNS = Path("outputs/runs")
"""Where run folders are, unless ``output`` says so."""


@dataclass(frozen=True, kw_only=True)
class RunSettings(FitAndMapSettings):
    """Everything that `mapsr run` takes."""

    data: DataSettings = group()
    logger: LoggerSettings = group()
    name: str = "mapsr"
    """What the run is called."""
    transductive: bool = False
    """Fit on the coarse labels of the very scenes that are scored, as a mapping agency would."""
    output: str | None = aside(None)
    """Run folder; null: outputs/runs/NAME-HASH-sSEED."""
    overwrite: bool = False
    """Give up another run's results in the same folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name.strip(". ") or "/" in self.name or not self.name.isprintable():
            raise ConfigError(f"name is {self.name!r:.80}, expected a word without slashes.")

    def fingerprint(self, scenes: Scenes | None = None) -> dict[str, object]:
        """What the run's results depend on; see ``fingerprint_of``.

        Args:
            scenes: of the run, where they are found already; else they are looked for.

        Raises:
            DataError: the scenes are not there.
            WeightsError: a checkpoint that the settings name is not there.
        """
        keys = (*_COMMON, *self.method.uses)
        return fingerprint_of(self, keys, scenes or self.data.find())

    def path(self, fingerprint: Fingerprint) -> Path:
        """The run folder of a run with these settings and this fingerprint."""
        if self.output:
            return local_path(self.output, "output")
        return RUNS / f"{self.name}-{fingerprint_hash(fingerprint)[:8]}-s{self.seed}"

    def grouped(self, name: str) -> "RunSettings":
        """The same run, which a mirror that knows groups shows as one of a group."""
        mirror: Any = self.logger
        if getattr(mirror, "group", "") is not None:
            return self
        return replace(self, logger=replace(mirror, group=name))
