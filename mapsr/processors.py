"""What a processor has: numbers that it multiplies by instructions of its own, and cores."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

# One of them is enough; elsewhere such products are slower than those of float32, as each number is
# converted.
_BFLOAT16 = ("avx512_bf16", "amx_bf16", "avx10_2", "sve_bf16", "bf16")
_INT8 = ("avx512_vnni", "avx_vnni", "amx_int8", "avx10_2")


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions of its own for products of bfloat16 numbers.

    A torch that does not tell what the processor has counts as one without.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _has(_BFLOAT16)


def multiplies_int8(device: torch.device) -> bool:
    """Whether a CPU has instructions for sums of int8 products; other devices count as without."""
    return device.type == "cpu" and hasattr(torch, "_int_mm") and _has(_INT8)


def _has(instructions: tuple[str, ...]) -> bool:
    tell = getattr(torch.cpu, "get_capabilities", None)  # not in every torch
    found: Mapping[str, object] = tell() if tell else {}
    return any(found.get(name) is True for name in instructions)


def products(*kinds: torch.dtype) -> str:
    """Names of numbers, once each, such as "int8, bfloat16"."""
    return ", ".join(dict.fromkeys(str(kind).removeprefix("torch.") for kind in kinds))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one core in each thread, so that threads do not fight for cores.

    The number of threads can change the last bit of a sum: one it is, on every machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
