"""Models of timm, made for images of any size."""

import contextlib
import io
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mapsr.errors import ConfigError, near_match
from mapsr.seeds import seeded

_ANY_SIZE: tuple[dict[str, Any], ...] = (
    {"dynamic_img_size": True},
    {"strict_img_size": False},
    {},
)
"""How timm's families are told to take images of any size, tried in turn: ViTs and EVA, Swin of
earlier versions, and those that do so anyway."""
SUITABLE = (
    "choose one that gives maps of images of any size, such as a ViT, EVA, DINOv3, SAM, Swin, "
    "ConvNeXt or ResNet"
)


def create_timm(model: str, channels: int, seed: int) -> Any:  # noqa: ANN401 - no common type
    """Make a model of timm without a classifier and with random weights.

    Args:
        model: timm's name, with or without a tag.
        channels: of the image.
        seed: of the weights.

    Raises:
        ConfigError: timm has no such model.
    """
    import timm  # takes seconds, which encoders without weights should not

    if not timm.is_model(model):
        raise ConfigError(
            f"backbone.model is '{model}', which timm {timm.__version__} does not have."
            f"{near_match(model, timm.list_models())}"
        )
    for options in _ANY_SIZE:
        try:
            with seeded(seed):
                return timm.create_model(
                    model, pretrained=False, num_classes=0, in_chans=channels, **options
                )
        except TypeError as error:
            if options and any(key in str(error) for key in options):
                continue
            raise _not_made(model, error) from error
        except (RuntimeError, ValueError, AssertionError) as error:
            raise _not_made(model, error) from error
    raise AssertionError("the last way has no option to refuse")


def require_tag(model: str) -> None:
    """Refuse a name that says no published weights.

    Raises:
        ConfigError: the name has no tag.
    """
    import timm

    if "." not in model and timm.is_model(model):
        tagged = timm.list_pretrained(f"{model}.*")
        such = f"write it with its tag, such as {tagged[0]}" if tagged else "it has none"
        raise ConfigError(
            f"backbone.model is '{model}', which names an architecture but no published weights: "
            f"{such}, or give backbone.checkpoint=FILE, or backbone=timm backbone.pretrained=false."
        )


def layer_info(maker: Any, model: str, layer: int) -> tuple[int, int]:  # noqa: ANN401 - of timm
    """Tell which layer of a model of timm an index means, and how many pixels its cells have.

    Args:
        maker: the model.
        model: its name.
        layer: index of a block or stage, from the end if negative.

    Returns:
        The index from the beginning, and the side of a cell in pixels.

    Raises:
        ConfigError: there is no such layer, or the model gives none.
    """
    layers = getattr(maker, "feature_info", None)
    if not layers or not hasattr(maker, "forward_intermediates"):
        raise ConfigError(f"backbone.model '{model}' does not give maps of features: {SUITABLE}.")
    sides = [round(info["reduction"]) for info in layers]
    if not -len(sides) <= layer < len(sides):
        shown = f"0 to {len(sides) - 1}"
        if len(set(sides)) > 1:
            shown += f", whose cells have {', '.join(map(str, sides))} px"
        raise ConfigError(f"backbone.layer is {layer}, but {model} has {shown}.")
    return layer % len(sides), sides[layer]


def feature_maps(maker: Any, image: Tensor, layer: int) -> Tensor:  # noqa: ANN401 - of timm
    """Encode (B, channels, H, W) to the layer's map (B, D, h, w), normalised where it is the last.

    ViTs, EVA and SAM apply their final norm (SAM: its neck) to any block's output, the others to
    the last stage alone.
    """
    maps: Tensor = maker.forward_intermediates(
        image, indices=[layer], norm=True, stop_early=True, intermediates_only=True
    )[0]
    return maps.contiguous()


@torch.no_grad()
def probed(
    encode: Callable[[Tensor], Tensor], model: str, channels: int, side: int, largest: int
) -> int:
    """Find out how long a model's features are, from the smallest image; it must take any size.

    Args:
        encode: (1, channels, H, W) to (1, D, H / side, W / side).
        model: its name.
        channels: of the image.
        side: of a cell, in pixels.
        largest: side of the cells of the coarsest layer.

    Returns:
        D.

    Raises:
        ConfigError: the model does not take such an image, or gives no map of it.
    """
    height, width = 2 * largest, 3 * largest
    try:
        shape = tuple(encode(torch.zeros(1, channels, height, width)).shape)
    except (RuntimeError, AssertionError, ValueError, TypeError, LookupError) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ConfigError(
            f"backbone.model '{model}' can't encode images of any size ({why}): {SUITABLE}."
        ) from error
    if len(shape) != 4 or shape[2:] != (height // side, width // side):
        raise ConfigError(
            f"backbone.model '{model}' turns {height} x {width} px into features of shape {shape}, "
            f"expected a map of {height // side} x {width // side} cells: {SUITABLE}."
        )
    return shape[1]


def converters(maker: Any) -> list[Callable[[dict[str, Tensor]], dict[str, Tensor]]]:  # noqa: ANN401
    """What turns the names of a model's authors into timm's; nothing where timm has none."""
    module = sys.modules[type(maker).__module__]
    convert = getattr(module, "checkpoint_filter_fn", None)
    if convert is None:
        return []

    def quietly(state: dict[str, Tensor]) -> dict[str, Tensor]:
        with contextlib.redirect_stdout(io.StringIO()):  # some of them print
            return dict(convert(state, maker))

    return [quietly]


def _not_made(model: str, error: Exception) -> ConfigError:
    import timm

    base = model.partition(".")[0]
    hint = near_match(model, timm.list_models(f"{base}*", pretrained=True))
    why = str(error).strip().splitlines()[0][:200]
    return ConfigError(
        f"timm {timm.__version__} can't make backbone.model '{model}' ({why}).{hint}"
    )
