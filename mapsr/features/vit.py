"""A timm vision transformer as a frozen encoder."""

from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mapsr.errors import ConfigError, near_match, require_choice, require_range
from mapsr.features.encoder import Encoder
from mapsr.features.loading import load_whole
from mapsr.features.positions import resample_positions
from mapsr.features.timm_encoder import enlarged, whole_stride
from mapsr.features.timm_models import converters, require_tag
from mapsr.settings import choice
from mapsr.weights import load_state, resolve, weights_name

# Image sizes whose positions are kept: 4 MB each for ViT-B/14 on 518 px.
_SIZES = 16


@choice("backbone", "vit")
@dataclass(frozen=True)
class ViTSettings:
    """A timm vision transformer with weights of the registry or of a file.

    Raises:
        ConfigError: enlarge is not above 0.
        ConfigError: positions is unknown.
    """

    model: str = "vit_base_patch14_dinov2.lvd142m"
    """timm's name of the architecture; it must be that of the weights. The paper has DINOv2-B/14.
    Small is faster, large more accurate and slower; _reg4 has register tokens, whose maps have
    fewer outliers."""
    weights: str | None = "dinov2_vitb14"
    """Name in `mapsr weights list`, or timm/MODEL.TAG; null: those that timm publishes for
    backbone.model."""
    checkpoint: str | None = None
    """Path of a weight file to use instead, such as one of your own pretraining, in the names of
    timm or of the model's authors; wrappers such as {'model': ...} and prefixes such as module.
    and backbone. are read."""
    layer: int = -1
    """Index of the block whose output, after the final norm, gives the tokens; -1 is the last one,
    as in the paper. Middle layers follow edges better in supervised ViTs, whose last layers serve
    the classifier: vit_tiny has 7 of 0 .. 11."""
    enlarge: float = 1.0
    """Factor above 0 by which the image is enlarged (bicubic) before the encoder; patch size
    divided by it must be a whole number. 2 halves the stride and takes at least four times the
    time and memory; 1 is the paper's."""
    positions: str = "timm"
    """How positions are resampled to other image sizes: "timm" (antialiased) for any ViT, "dinov2"
    for DINOv2, as in the paper's features. On the trained grid both agree."""

    halves: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_range(self.enlarge, "backbone.enlarge", open_low=True)
        require_choice(self.positions, ("timm", "dinov2"), "backbone.positions")

    def build(self, weights_folder: str | None = None) -> "ViT":
        """Build the encoder with its weights.

        Raises:
            ConfigError: timm has no such model.
            ConfigError: a setting does not fit the model.
            WeightsError: the weights are absent, damaged or of another architecture.
        """
        if self.weights is None and self.checkpoint is None:
            require_tag(self.model)
        found = resolve(weights_name(self) or "", self.checkpoint, weights_folder)
        encoder = ViT(self)
        encoder.load(load_state(found.path), str(found.path))
        encoder.weights = {"name": found.name, "sha256": found.sha256}
        return encoder


class ViT(Encoder):
    """A frozen timm vision transformer with its input normalisation inside.

    Without ``load`` its weights are random, which serves tests of shape and speed only.
    """

    bands = 3
    mean: Tensor
    std: Tensor

    def __init__(self, settings: ViTSettings) -> None:
        super().__init__()
        self.settings = settings
        self.vit = _create(settings.model)
        self.dim = self.vit.num_features
        depth = len(self.vit.blocks)
        if not -depth <= settings.layer < depth:
            raise ConfigError(
                f"backbone.layer is {settings.layer}, but {settings.model} has blocks 0 to "
                f"{depth - 1}."
            )
        self.layer = settings.layer % depth
        self.patch = int(self.vit.patch_embed.patch_size[0])
        self.stride = whole_stride(self.patch, settings.enlarge)
        mean, std = (self.vit.pretrained_cfg[key] for key in ("mean", "std"))
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.trained_grid: tuple[int, int] = tuple(self.vit.patch_embed.grid_size)
        self._placed: dict[tuple[int, int], Any] = {}
        self.eval().requires_grad_(False)

    def load(self, state: dict[str, Tensor], source: str) -> None:
        """Load a state dict in timm's names or those of the model's authors.

        Args:
            state: tensors by name; entries of a classifier or of pretraining alone are left out.
            source: what an error calls it.

        Raises:
            WeightsError: a key or a shape does not belong to this architecture.
        """
        load_whole(self.vit, state, self.settings.model, source, converters(self.vit))
        self._placed.clear()

    def encode(self, image: Tensor) -> Tensor:
        """Encode (B, 3 or more, H, W) in [0, 1] to tokens (B, D, H / stride, W / stride)."""
        rgb = enlarged(image[:, :3], self.stride, self.patch)
        grid = (image.shape[2] // self.stride, image.shape[3] // self.stride)
        vit = self._of(grid) if self.settings.positions == "dinov2" else self.vit
        tokens: Tensor = vit.forward_intermediates(
            (rgb - self.mean) / self.std,
            indices=[self.layer],
            norm=True,
            stop_early=True,
            intermediates_only=True,  # without prefix tokens
        )[0]
        return tokens

    def _of(self, grid: tuple[int, int]) -> Any:  # noqa: ANN401 - timm gives its models no type
        """The model with positions for a grid, which timm then leaves as they are.

        Threads may encode images of several sizes at once, so each grid has a model of its own,
        with the same layers.
        """
        if grid == self.trained_grid:
            return self.vit
        found = self._placed.get(grid)
        if found is None or found.pos_embed.device != self.vit.pos_embed.device:
            if len(self._placed) == _SIZES:
                self._placed.clear()
            vit, patches = copy(self.vit), copy(self.vit.patch_embed)
            vit._parameters, vit._modules = dict(vit._parameters), dict(vit._modules)
            prefix = 0 if vit.no_embed_class else vit.num_prefix_tokens
            trained = vit.pos_embed
            places = resample_positions(trained[:, prefix:], self.trained_grid, grid)
            positions = torch.cat([trained[:, :prefix], places], dim=1)
            vit.pos_embed = nn.Parameter(positions, requires_grad=False)
            vit.patch_embed, patches.grid_size = patches, grid
            found = self._placed[grid] = vit
        return found


def _create(model: str) -> Any:  # noqa: ANN401 - timm gives its models no common type
    import timm  # takes seconds, which the encoder without weights should not

    try:
        vit = timm.create_model(model, pretrained=False, num_classes=0, dynamic_img_size=True)
    except (RuntimeError, TypeError) as error:
        hint = near_match(model, timm.list_models("*vit*", pretrained=True))
        raise ConfigError(f"timm has no vision transformer '{model}'.{hint}") from error
    if not hasattr(vit, "forward_intermediates") or getattr(vit, "pos_embed", None) is None:
        raise ConfigError(
            f"backbone.model '{model}' is not a vision transformer with positions on a grid: "
            "choose one such as vit_base_patch14_dinov2.lvd142m, or backbone=timm for other models."
        )
    return vit
