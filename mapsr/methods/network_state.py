"""The weights that a network's fit came to: loaded with care, and told apart."""

import hashlib

import torch

from mapsr.errors import FittedError
from mapsr.methods.method import State
from mapsr.networks import SegmentationNetwork


def load_weights(network: SegmentationNetwork, state: State) -> None:
    """Load what a fit came to.

    Raises:
        FittedError: the weights are not those of the network, or are not whole.
    """
    own = {key: value.shape for key, value in network.state_dict().items()}
    found = {key: value.shape for key, value in state.tensors.items()}
    wrong = sorted(own.keys() ^ found.keys()) or [k for k in own if own[k] != found[k]]
    wrong = wrong or [k for k, v in state.tensors.items() if not torch.isfinite(v).all()]
    if wrong:
        raise FittedError(
            f"The file is damaged: {len(wrong)} entries are not those of its network, the "
            f"first is '{wrong[0]}': fit it again."
        )
    network.load_state_dict(state.tensors)


def hash_of(state: State) -> str:
    """SHA-256 of all weights."""
    whole = hashlib.sha256()
    for name, tensor in sorted(state.tensors.items()):
        whole.update(name.encode())
        whole.update(tensor.contiguous().cpu().numpy().tobytes())
    return whole.hexdigest()
