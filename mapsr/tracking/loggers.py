"""Mirrors of a run: none, a file of numbers, TensorBoard, or Weights & Biases.

The run folder is the truth; a mirror gets copies, and never asks for a login.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from mapsr.settings import choice
from mapsr.tracking.csv_logger import CsvSettings, open_csv
from mapsr.tracking.logger import Logger, NoLogger, flatten
from mapsr.tracking.tensorboard_logger import TensorboardSettings, open_tensorboard
from mapsr.tracking.wandb_logger import WandbSettings, has_credentials, open_wandb

__all__ = [
    "CsvSettings",
    "Logger",
    "LoggerSettings",
    "NoLogger",
    "NoLoggerSettings",
    "TensorboardSettings",
    "WandbSettings",
    "flatten",
    "has_credentials",
    "open_logger",
]


@choice("logger", "none")
@dataclass(frozen=True)
class NoLoggerSettings:
    """No mirror: the run folder alone."""


LoggerSettings = NoLoggerSettings | CsvSettings | TensorboardSettings | WandbSettings


def open_logger(
    settings: LoggerSettings, folder: Path, name: str, config: Mapping[str, object]
) -> AbstractContextManager[Logger]:
    """Open the mirror of a run; its context closes it whatever happens.

    A failure inside the context marks a W&B run failed.

    Args:
        settings: which mirror.
        folder: the run folder; what a mirror keeps goes below it: ``logs.csv``, ``tensorboard/`` or
            ``wandb/``.
        name: what the run is called there.
        config: the resolved configuration.

    Raises:
        ConfigError: TensorBoard is not installed.
        ConfigError: W&B is to be online without credentials on this machine.
        ConfigError: W&B does not start.
    """
    match settings:
        case CsvSettings():
            return open_csv(folder)
        case TensorboardSettings():
            return open_tensorboard(folder, name, config)
        case WandbSettings():
            return open_wandb(settings, folder, name, config)
        case NoLoggerSettings():
            return nullcontext(NoLogger())
