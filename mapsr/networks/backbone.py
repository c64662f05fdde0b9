"""A timm model as the encoder of a network."""

from typing import Any

from torch import Tensor, nn

from mapsr.errors import ConfigError, WeightsError, near_match

# Prefixes of entries that a classifier has and an encoder does not.
_HEADS = ("fc.", "head.", "heads.", "norm.", "weights")


class Backbone(nn.Module):
    """The last feature maps of a timm model, finest first, without its classifier.

    Attributes:
        channels: of each map, in the same order.
    """

    def __init__(self, model: str, bands: int, maps: int) -> None:
        """Set up the model with random weights.

        Args:
            model: timm's name of the architecture.
            bands: of the image, at least 1.
            maps: how many to return.

        Raises:
            ConfigError: timm has no such model.
            ConfigError: it has fewer maps.
        """
        super().__init__()
        self.model = model
        self.body = create(model, in_chans=bands)
        every = [int(info["num_chs"]) for info in self.body.feature_info]
        if len(every) < maps:
            raise ConfigError(
                f"network.encoder '{model}' has {len(every)} maps, but {maps} are needed: choose "
                "a model with more stages."
            )
        self.channels = every[-maps:]
        self.indices = list(range(len(every)))[-maps:]
        self.body.prune_intermediate_layers(self.indices, prune_norm=True, prune_head=True)
        if "weights" in dict(self.body.named_parameters()):
            del self.body.weights  # EfficientViM's mixture of its classifiers

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode (B, bands, H, W) to maps (B, channels, H / stride, W / stride), finest first."""
        maps: list[Tensor] = self.body.forward_intermediates(
            image, indices=self.indices, intermediates_only=True
        )
        return maps

    def load(self, state: dict[str, Tensor], source: str) -> None:
        """Load timm's state dict of the model without its classifier.

        Where the image does not have three bands, the first layer's weights are repeated in the
        order of the bands and scaled so that their sum stays as large, as timm does.

        Args:
            state: timm's state dict, with or without a classifier.
            source: what an error calls it.

        Raises:
            WeightsError: a key or a shape does not belong to this architecture.
        """
        state = dict(state)
        first = f"{self.body.pretrained_cfg['first_conv']}.weight"
        wanted = self.body.state_dict()[first].shape[1]
        if first in state and state[first].dim() == 4 and state[first].shape[1] == 3 != wanted:
            state[first] = repeat_bands(state[first], wanted)
        load_exactly(self.body, state, f"network.encoder '{self.model}'", source, _HEADS)


def create(model: str, **arguments: Any) -> Any:  # noqa: ANN401 - timm gives no common type
    """Make a timm model without a classifier, with random weights.

    Raises:
        ConfigError: timm has no such model.
        ConfigError: the model does not take these arguments.
    """
    import timm  # takes seconds, which --help should not

    try:
        return timm.create_model(model, pretrained=False, num_classes=0, **arguments)
    except (RuntimeError, TypeError) as error:
        if timm.is_model(model):
            raise ConfigError(
                f"timm can't build network.encoder '{model}' as this network needs it ({error}): "
                "choose an encoder of the family that the network was published with."
            ) from error
        hint = near_match(model, timm.list_models())
        raise ConfigError(
            f"network.encoder is '{model}', which timm {timm.__version__} does not have.{hint}"
        ) from error


def load_exactly(
    module: nn.Module,
    state: dict[str, Tensor],
    what: str,
    source: str,
    left_out: tuple[str, ...] = (),
) -> None:
    """Load a state dict that must have all of a module's entries.

    Args:
        module: to load into.
        state: by the module's names.
        what: what an error calls the module.
        source: what an error calls the state dict.
        left_out: prefixes of entries that the state dict may have and the module does not.

    Raises:
        WeightsError: a key or a shape does not belong to the module.
    """
    # the number of batches has no effect here, and some files lack it
    own = {
        k: v.shape for k, v in module.state_dict().items() if not k.endswith("num_batches_tracked")
    }
    ours = {k: v for k, v in state.items() if k in own}
    surplus = {
        k
        for k in state.keys() - own.keys()
        if not k.startswith(left_out) and not k.endswith("num_batches_tracked")
    }
    wrong = sorted((own.keys() - ours.keys()) | surplus) or [
        k for k, shape in own.items() if ours[k].shape != shape
    ]
    if wrong:
        raise WeightsError(
            f"{source} is not a checkpoint of {what}: {len(wrong)} entries do not fit, the first "
            f"is '{wrong[0]}'. Choose the encoder that it belongs to."
        )
    module.load_state_dict(ours, strict=False)


def repeat_bands(weight: Tensor, bands: int) -> Tensor:
    """Repeat a first layer (O, 3, h, w) for another number of bands, its response as large."""
    times = -(-bands // weight.shape[1])
    return weight.repeat(1, times, 1, 1)[:, :bands] * (weight.shape[1] / bands)
