"""Experiments from Python."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapsr.api.fitted import Fitted, load, words_of
from mapsr.cli.repeat import run_settings
from mapsr.experiment import finished_run, run_experiment
from mapsr.progress import Progress, Quiet
from mapsr.tracking.commands import commanded


@dataclass(frozen=True)
class FinishedRun:
    """A run that came to its end.

    Attributes:
        folder: of the run.
        metrics: what stands in its metrics.json.
        fresh: done now; False: it was finished before.
    """

    folder: Path
    metrics: dict[str, Any]
    fresh: bool

    @property
    def fitted(self) -> Fitted:
        """The method that it fitted."""
        return load(self.folder)


def run(*overrides: str, progress: Progress | None = None, **keys: object) -> FinishedRun:
    """Do what `mapsr run` does, and return what came of it.

    Args:
        overrides: as the command takes them, such as "refine=none" or "prompts.epochs=4".
        progress: shows the work; None: nothing does.
        keys: further ones without a dot, such as output="runs/a", seed=1.

    Raises:
        MapsrError: as the command says it.
    """
    words = [*overrides, *words_of(keys)]
    settings = run_settings(words)
    done = finished_run(settings)
    with commanded(["mapsr", "run", *words]):
        folder, metrics = done or run_experiment(settings, progress or Quiet())
    return FinishedRun(folder, dict(metrics), fresh=done is None)
