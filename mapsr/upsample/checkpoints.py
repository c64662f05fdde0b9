"""Weights that users fetch themselves, and their way into a network."""

from pathlib import Path

from torch import Tensor, nn

from mapsr.errors import WeightsError


def required_file(checkpoint: str | None, weights: str, file: str, release: str) -> Path:
    """Return the path of a weight file that is never downloaded.

    Args:
        checkpoint: upsampler.checkpoint as set.
        weights: what the weights are called.
        file: their name in the publisher's release.
        release: address of that release.

    Raises:
        WeightsError: ``checkpoint`` is unset.
        WeightsError: ``checkpoint`` names no file.
    """
    if checkpoint is None:
        raise WeightsError(
            f"upsampler.checkpoint is unset, expected the file of {weights}: fetch {file} from "
            f"{release} and set upsampler.checkpoint=FILE."
        )
    path = Path(checkpoint).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"upsampler.checkpoint is '{checkpoint}', which is not a file; name an existing one, "
            f"such as {file} from {release}."
        )
    return path


def load_published(network: nn.Module, state: dict[str, Tensor], source: str, name: str) -> None:
    """Load a published state dict, every entry of which must fit.

    Args:
        network: takes the weights.
        state: the entries.
        source: where they are from, for the message.
        name: what the network is called, with its article.

    Raises:
        WeightsError: a key or a shape does not belong to the network.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise WeightsError(f"{source} is not {name} checkpoint: {first}") from error
