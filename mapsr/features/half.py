"""Encoders whose products are of bfloat16 numbers, where the processor multiplies those itself."""

from collections.abc import Mapping

import torch
from torch import nn

from mapsr.features.encoder import Encoder

# One of them is enough; elsewhere bfloat16 is slower than float32, as each number is converted.
_ABLE = ("avx512_bf16", "amx_bf16", "avx10_2", "sve_bf16", "bf16")
_LAYERS = (nn.Linear, nn.Conv2d)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions of its own for products of bfloat16 numbers.

    A torch that does not tell what the processor has counts as one without.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    tell = getattr(torch.cpu, "get_capabilities", None)  # not in every torch
    found: Mapping[str, object] = tell() if tell else {}
    return device.type == "cpu" and any(found.get(name) is True for name in _ABLE)


def halve(encoder: Encoder) -> Encoder:
    """Let an encoder's layers multiply bfloat16 numbers, in place, and return it.

    Weights of linear layers and convolutions are rounded once. Products are summed in float32, and
    what is added from block to block stays float32, as do norms and tokens.

    Args:
        encoder: with its weights; afterwards it takes no others.
    """
    for module in encoder.modules():
        if isinstance(module, _LAYERS):
            module.to(torch.bfloat16)
    encoder.precision = torch.bfloat16
    return encoder
