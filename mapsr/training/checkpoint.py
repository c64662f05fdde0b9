"""The checkpoint from which an interrupted training resumes."""

import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch

from mapsr.checkpoints import refused
from mapsr.errors import ConfigError, WeightsError
from mapsr.files import whole_file

if TYPE_CHECKING:  # Lightning takes seconds to import
    from mapsr.training.module import NetworkTraining

FILE = "last.pt"
_FORMAT = 1
_NETWORK = "network"
_KINDS: dict[str, tuple[type, ...]] = {
    "identity": (dict,),
    "step": (int,),
    "rejected": (int,),
    "first_loss": (float, int, type(None)),
    "last_loss": (float, int, type(None)),
    "network": (dict,),
    "optimizer": (dict,),
    "lookahead": (list,),
    "precision": (dict,),
}
"""What a state holds."""


@dataclass(frozen=True)
class Checkpoint:
    """The file that holds the state of one training; it is replaced atomically.

    Attributes:
        folder: for this file alone.
        identity: settings that the trained weights depend on, by key, as plain containers; keys
            "network..." describe the architecture.
    """

    folder: Path
    identity: Mapping[str, object]

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self.folder / FILE

    def save(self, training: "NetworkTraining") -> None:
        """Write the state of a training in place of an older one.

        Raises:
            WeightsError: the file can't be written; an older one is kept.
        """
        state = {
            "format": _FORMAT,
            "identity": dict(self.identity),
            "step": training.step,
            "rejected": training.rejected,
            "first_loss": training.first_loss,
            "last_loss": training.last_loss,
            "network": training.network.state_dict(),
            "optimizer": training.optimizer.state_dict(),
            "lookahead": training.lookahead.slow if training.lookahead else [],
            "precision": training.trainer.precision_plugin.state_dict(),
        }
        try:
            with whole_file(self.path) as temporary:
                torch.save(state, temporary)
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"The checkpoint {self.path} can't be written ({_line(error)}): free disk space, "
                "or set training.checkpoint_every=null; an older checkpoint is kept, and the same "
                "command resumes from it."
            ) from error

    def load(self) -> dict[str, Any] | None:
        """Read the state onto the CPU, or return None where there is no file.

        Raises:
            WeightsError: the file is damaged.
            WeightsError: it belongs to another network.
            ConfigError: it belongs to a training with other settings.
        """
        for leftover in self.folder.glob(f".{self.path.stem}-*"):
            leftover.unlink()  # by a process that was killed while writing
        if not self.path.exists():
            return None
        state = self._read()
        if not isinstance(state, dict) or state.get("format") != _FORMAT:
            raise self._damaged(f"it does not have format {_FORMAT} of this version")
        wrong = [key for key, kinds in _KINDS.items() if not isinstance(state.get(key), kinds)]
        if wrong or isinstance(state["step"], bool) or state["step"] < 0:
            raise self._damaged(f"its '{(wrong or ['step'])[0]}' is not what it should be")
        self._compare(state["identity"])
        return state

    def _read(self) -> Any:  # noqa: ANN401 - whatever is in it
        unreadable = (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a file that is refused right afterwards
                return torch.load(self.path, map_location="cpu", weights_only=True)
        except UnpicklingError as error:
            raise self._damaged(refused(str(error))) from error
        except unreadable as error:
            why = _line(error)
            plain = "weights_only" not in why
            raise self._damaged(why if plain else "it is not a plain file of torch.save") from error

    def resume(self, training: "NetworkTraining", state: Mapping[str, Any]) -> None:
        """Restore the state of a training whose optimiser is set up.

        Args:
            training: to restore in place.
            state: from ``load``.

        Raises:
            WeightsError: the state does not fit the network.
        """
        try:
            training.network.load_state_dict(state["network"])
            training.optimizer.load_state_dict(state["optimizer"])
            if training.lookahead is not None:
                training.lookahead.load(state["lookahead"])
            training.trainer.precision_plugin.load_state_dict(state["precision"])
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise self._damaged(_line(error)) from error
        training.rejected, training.first_loss = state["rejected"], state["first_loss"]
        training.last_loss = state["last_loss"]

    def remove(self) -> None:
        """Delete the folder with all files in it."""
        if self.folder.is_dir() and not self.folder.is_symlink():
            shutil.rmtree(self.folder)

    def _compare(self, found: Mapping[str, object]) -> None:
        for key in sorted({*found, *self.identity}):
            was, now = found.get(key), self.identity.get(key)
            if was == now:
                continue
            what = f"{self.path} is a checkpoint of another"
            if key.partition(".")[0] == _NETWORK:
                raise WeightsError(
                    f"{what} network: {key} was {was}, but is {now}: choose that network, or "
                    "delete the file to train from the start."
                )
            raise ConfigError(
                f"{what} training: {key} was {was}, but is {now}: restore the former value, or "
                "delete the file to train from the start."
            )

    def _damaged(self, why: str) -> WeightsError:
        return WeightsError(
            f"The checkpoint {self.path} is damaged ({why}): delete it to train from the start."
        )


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")
