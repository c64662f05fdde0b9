"""A mirror of a run in Weights & Biases."""

import netrc
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import ConfigError, require_choice
from mapsr.extras import require_extra
from mapsr.settings import choice
from mapsr.tracking.logger import flatten

if TYPE_CHECKING:
    import wandb

Mode = Literal["offline", "online", "disabled"]
START_TIMEOUT_S = 30.0
_STEP = "train/step"


@choice("logger", "wandb")
@dataclass(frozen=True)
class WandbSettings:
    """Weights & Biases; offline it needs neither a network nor an account."""

    mode: str = "offline"
    """offline (`wandb sync` sends the files later), online, or disabled."""
    project: str = "mapsr"
    """Project that the run appears in."""
    group: str | None = None
    """Group of runs, such as the name of a sweep."""
    entity: str | None = None
    """User or team that owns the project; None is the account's default."""
    tags: tuple[str, ...] = ()
    """Words to find the run by."""

    def __post_init__(self) -> None:
        require_choice(self.mode, get_args(Mode), "logger.mode")
        object.__setattr__(self, "tags", tuple(self.tags))  # OmegaConf gives a list

    def open(
        self, folder: Path, name: str, config: Mapping[str, object]
    ) -> AbstractContextManager["WandbLogger"]:
        """Start the run; see ``open_wandb``."""
        return open_wandb(self, folder, name, config)


class WandbLogger:
    """Copies to a W&B run."""

    def __init__(self, run: "wandb.Run") -> None:
        self._run = run
        # W&B's own step counts calls and may never fall; a training's numbers have an axis of
        # their own, so that metrics and pictures can follow at any time
        run.define_metric(_STEP, hidden=True)
        run.define_metric("train/*", step_metric=_STEP)

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers of a training over its own steps."""
        self._run.log({**values, _STEP: step})

    def metrics(self, metrics: Mapping[str, object]) -> None:
        """Log numbers; nested mappings are joined by "/", what is not a number is left out."""
        self._run.log(flatten(metrics))

    def picture(self, name: str, path: Path) -> None:
        """Log a picture file."""
        import wandb

        self._run.log({name: wandb.Image(str(path))})

    def confusion(self, counts: NDArray[np.int64], names: Sequence[str]) -> None:
        """Log confusion counts as a table of true class, predicted class and pixels."""
        import wandb

        rows = [
            [truth, predicted, pixels]
            for truth, row in zip(names, counts.tolist(), strict=True)
            for predicted, pixels in zip([*names, "nodata"], row, strict=True)
        ]
        table = wandb.Table(columns=["truth", "predicted", "pixels"], data=rows)
        self._run.log({"confusion": table})


@contextmanager
def open_wandb(
    settings: WandbSettings, folder: Path, name: str, config: Mapping[str, object]
) -> Iterator[WandbLogger]:
    """Start a W&B run, and finish it whatever happens; a failure marks it failed.

    Args:
        settings: where the run appears.
        folder: the run folder; W&B's files go below it.
        name: what the run is called there.
        config: the resolved configuration.

    Raises:
        ConfigError: W&B is to be online without credentials on this machine.
        ConfigError: W&B does not start.
    """
    run = _start(settings, folder, name, config)
    exit_code = 1
    try:
        yield WandbLogger(run)
        exit_code = 0
    finally:
        run.finish(exit_code=exit_code)


def _start(
    settings: WandbSettings, folder: Path, name: str, config: Mapping[str, object]
) -> "wandb.Run":
    if settings.mode == "online" and not has_credentials():
        raise ConfigError(
            "logger.mode is online, but this machine has no W&B credentials; set WANDB_API_KEY, "
            "run `wandb login`, or choose logger.mode=offline and `wandb sync` later."
        )
    require_extra("wandb", "logger=wandb", "choose logger=none or csv")
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    try:
        return wandb.init(
            mode=cast(Mode, settings.mode),
            project=settings.project,
            group=settings.group,
            entity=settings.entity,
            tags=list(settings.tags),
            name=name,
            id=secrets.token_hex(8),  # WANDB_RUN_ID of a shell must not make two runs one
            config=dict(config),
            dir=folder,
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=START_TIMEOUT_S,
                # the run's own record holds all this
                disable_git=True,
                disable_code=True,
                save_code=False,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )
    except wandb.errors.Error as error:
        raise ConfigError(
            f"W&B does not start in mode {settings.mode} ({error}); choose logger.mode=offline "
            "and `wandb sync` later, or logger=none."
        ) from error


def has_credentials() -> bool:
    """Return whether W&B finds an account without asking: by environment or by netrc file."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    candidates = [Path.home() / ".netrc", Path.home() / "_netrc"]
    named = os.environ.get("NETRC")
    for path in [Path(named).expanduser()] if named else candidates:
        try:
            if netrc.netrc(path).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False
