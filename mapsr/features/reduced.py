"""Encoders whose products are of smaller numbers, where the processor multiplies those itself.

Two kinds, which go together: bfloat16 for all products, and int8 for those of linear layers, which
are most of a transformer's. What is added from block to block, norms and tokens stay float32.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.overrides import TorchFunctionMode

from mapsr import budgets

_LAYERS = (nn.Linear, nn.Conv2d)
_LARGEST = 127
_TINY = 1e-30
_RELATIVE = 1e-6
# To be raised where tokens change: those of earlier versions in a cache are then not taken.
ROUNDING = 2
# The layers of a transformer's first block: what they round away is lost for all blocks behind, so
# that they cost twice as much of the tokens' accuracy as others, and are few of the products.
FIRST = 4


def halve(encoder: nn.Module) -> None:
    """Round the weights of linear layers and convolutions to bfloat16, once and in place."""
    for module in encoder.modules():
        if isinstance(module, _LAYERS):
            module.to(torch.bfloat16)


def quantise(encoder: nn.Module, first: int = FIRST) -> None:
    """Keep the weights of linear layers as int8 numbers, too, with a scale for each output.

    Before ``halve``, which rounds what they are made from. Layers whose weights are never
    multiplied by ``F.linear`` stay as they are.

    Args:
        encoder: whose layers are taken in the order of its modules.
        first: so many at the start stay as they are, too.
    """
    layers = [
        module
        for module in encoder.modules()
        if isinstance(module, nn.Linear) and not isinstance(module, NonDynamicallyQuantizableLinear)
    ]
    for module in layers[first:]:
        weight = module.weight.detach().float()
        scale = weight.abs().amax(1).div_(_LARGEST).clamp_min_(_TINY)
        whole = (weight / scale[:, None]).round_().to(torch.int8)
        module.register_buffer("weight_scale", scale, persistent=False)
        module.register_buffer("weight_sum", whole.sum(1).mul(scale), persistent=False)
        module.register_buffer("whole_weight", whole.T.contiguous(), persistent=False)


@contextmanager
def reduced(
    encoder: nn.Module,
    device: torch.device,
    linear: torch.dtype,
    others: torch.dtype,
    *,
    eager: bool = True,
) -> Iterator[None]:
    """Let what the encoder computes meanwhile be of such numbers.

    Args:
        encoder: ``quantise`` was called on it for int8, ``halve`` for bfloat16.
        device: that it computes on.
        linear: that its linear layers multiply.
        others: that its other products are of.
        eager: whether its layers are called one by one, not compiled into one piece.
    """
    with ExitStack() as stack:
        if others != torch.float32:
            stack.enter_context(torch.autocast(device.type, others))
        if device.type == "cpu" and eager:
            layers = encoder.modules() if linear == torch.int8 else ()
            stack.enter_context(_Faster(layers))
        yield


class _Faster(TorchFunctionMode):
    """On a CPU: int8 products of linear layers, and attention whose logits stay in the cache.

    A mode finds the products wherever a library's model makes them, also where it takes a layer's
    weight and multiplies for itself.
    """

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = {
            id(layer.weight): layer
            for layer in layers
            if isinstance(layer, nn.Linear) and hasattr(layer, "whole_weight")
        }

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401 - any function of torch
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Take over what is faster here, and call all else as it is."""
        kwargs = kwargs or {}
        if func is F.linear and len(args) > 1 and id(args[1]) in self.layers:
            bias = args[2] if len(args) > 2 else kwargs.get("bias")
            return whole_linear(args[0], self.layers[id(args[1])], bias)
        if func is F.scaled_dot_product_attention and _plain_attention(args, kwargs):
            query, key, value = args
            return headwise_attention(query, key, value, kwargs.get("scale"))
        return func(*args, **kwargs)


def whole_linear(x: Tensor, layer: nn.Module, bias: Tensor | None) -> Tensor:
    """Apply a linear layer by int8 products, summed exactly in int32.

    Each row of ``x`` is rounded to 254 steps between its own least and largest value: one token's
    outlier does not coarsen the others, and values behind an activation, which have one sign, get
    as many steps as others.

    Args:
        x: (..., inputs).
        layer: what ``quantise`` made, of (inputs, outputs).
        bias: (outputs,), or None.

    Returns:
        (..., outputs), of the type that autocast asks for, else that of ``x``.

    Source: Dettmers et al., LLM.int8(), 2022, doi:10.48550/arXiv.2208.07339, vector-wise
    quantisation (without their outlier columns); Jacob et al., Quantization and training of neural
    networks, CVPR 2018, doi:10.1109/CVPR.2018.00286, equations (1) and (7).
    """
    matrix, scale = layer.get_buffer("whole_weight"), layer.get_buffer("weight_scale")
    rows = x.reshape(-1, x.shape[-1]).float()
    # not aminmax, which looks at one value at a time on a CPU
    low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
    middle = (low + high).div_(2)
    # not so small that float32 could not tell the steps beside the middle apart
    step = torch.maximum((high - low).div_(2 * _LARGEST), middle.abs().mul_(_RELATIVE))
    step.clamp_min_(_TINY)
    # in place wherever the memory is ours, also as numbers of another type: it is in the cache
    steps = rows * (1 / step) if x.dtype == torch.float32 else rows.mul_(1 / step)
    whole = steps.sub_(middle / step).round_().to(torch.int8)
    products = torch._int_mm(whole, matrix)
    sums = products.view(torch.float32).copy_(products).mul_(step).mul_(scale)
    sums.addcmul_(middle, layer.get_buffer("weight_sum"))
    if bias is not None:
        sums.add_(bias)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    applied: Tensor = sums.to(dtype).unflatten(0, x.shape[:-1])
    return applied


def headwise_attention(query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
    """Attention of bfloat16 numbers, a head at a time: its logits fit into a core's cache.

    The mean key is taken off first, which shifts all logits of a query alike and so changes no
    weight: smaller numbers lose less where they are rounded.

    Args:
        query: (..., heads, N, d).
        key: (..., heads, M, d).
        value: (..., heads, M, e).
        scale: of the logits; None: d^-1/2.
    """
    query = query * (query.shape[-1] ** -0.5 if scale is None else scale)
    key = key - key.mean(-2, keepdim=True)
    out = query.new_empty(*query.shape[:-1], value.shape[-1])
    # a head's rows lie far apart in what a library makes of all heads
    near = (one.contiguous().flatten(0, -3) for one in (query, key, value, out))
    heads = zip(*near, strict=True)
    with torch.autocast(query.device.type, enabled=False):  # it would take a softmax in float32
        for q, k, v, o in heads:
            torch.mm((q @ k.T).softmax(1), v, out=o)
    return out


def _plain_attention(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether all pixels look at all tokens, so many that it pays to take heads one by one."""
    if len(args) != 3 or any(kwargs.get(name) for name in ("is_causal", "dropout_p", "enable_gqa")):
        return False
    query, key, value = args
    return (
        kwargs.get("attn_mask") is None
        and {query.dtype, key.dtype, value.dtype} == {torch.bfloat16}
        and query.dim() > 3
        and query.shape[:-2] == key.shape[:-2] == value.shape[:-2]
        and query.shape[-2] * key.shape[-2] >= budgets.HEAD.on(query)
    )
