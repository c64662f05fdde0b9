"""Checkpoints: whether one is asked for, and its state dict, without running any code from it."""

import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Protocol

from mapsr.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    import torch

_WRAPPERS = ("state_dict", "model", "teacher")
"""Keys under which trainings save the tensors, beside optimizers and the like; the teacher is what
self-distillation keeps."""
_PARALLEL = "module."
"""What torch's DataParallel puts before each name."""


def load_state(path: Path) -> "dict[str, torch.Tensor]":
    """Load a state dict to the CPU, without running any code from the file.

    Args:
        path: a safetensors file by its suffix, else a file of ``torch.save``: tensors by name, or
            these under "state_dict", "model" or "teacher". A prefix "module." of all names is left
            out.

    Raises:
        WeightsError: the file can't be read, or holds more than tensors.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        safe = path.suffix == ".safetensors"
        with warnings.catch_warnings():
            # it is refused right afterwards, in our words
            warnings.filterwarnings("ignore", "'torch.load' received a zip file", UserWarning)
            content = load_file(path) if safe else torch.load(path, "cpu", weights_only=True)
    except UnpicklingError as error:
        # torch's own words go on to tell how to run the code
        raise _unreadable(path, refused(str(error))) from error
    except (OSError, RuntimeError, EOFError, ValueError, SafetensorError) as error:
        why = str(error).partition("\n")[0]
        if "weights_only" in why:  # TorchScript, or an archive of old versions
            why = "it is not a plain file of torch.save, and might run code"
        raise _unreadable(path, why) from error
    state = _tensors(content)
    if state is None:
        raise _unreadable(path, "it holds more than tensors by name")
    if state and all(name.startswith(_PARALLEL) for name in state):
        return {name.removeprefix(_PARALLEL): tensor for name, tensor in state.items()}
    return state


def _tensors(content: object) -> "dict[str, torch.Tensor] | None":
    """The tensors by name in what was read, None where they are not where trainings put them."""
    import torch

    if not isinstance(content, dict):
        return None
    if all(isinstance(name, str) and torch.is_tensor(one) for name, one in content.items()):
        return dict(content)
    inner = [content[key] for key in _WRAPPERS if isinstance(content.get(key), dict)]
    return _tensors(inner[0]) if inner else None


def refused(message: str) -> str:
    """Say why torch did not unpickle a file, without its advice to run what is in it."""
    _, found, rest = message.partition("GLOBAL ")
    name = rest.split()[0] if found and rest.split() else None
    if name is None:
        return "it is not a file of torch.save, or is cut off"
    return f"it is more than tensors: to read it, {name} would be run, which may do anything"


def _unreadable(path: Path, why: str) -> WeightsError:
    return WeightsError(
        f"can't read the weights in {path}: {why}; expected a safetensors file or a state dict "
        "saved with torch.save; fetch the file again or name another checkpoint."
    )


class Start(Protocol):
    """What settings say of the weights that something starts from."""

    @property
    def checkpoint(self) -> str | None:
        """A file to use instead of published weights."""
        ...

    @property
    def pretrained(self) -> bool:
        """False: random weights."""
        ...


def check_start(start: Start, group: str) -> None:
    """Refuse settings that contradict each other.

    Args:
        start: the settings.
        group: of the configuration that they are a choice of.

    Raises:
        ConfigError: a checkpoint is named although pretrained is false.
    """
    if start.checkpoint is not None and not start.pretrained:
        raise ConfigError(
            f"{group}.checkpoint is '{start.checkpoint}', but {group}.pretrained=false starts from "
            f"random weights: set {group}.pretrained=true or leave the checkpoint unset."
        )
