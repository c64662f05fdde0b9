"""How fast and how exact features and maps are made: the group ``speed``."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Protocol

import torch
from torch import Tensor

from mapsr.errors import require_choice, require_range
from mapsr.features.half import multiplies_bfloat16
from mapsr.prompts import ClassPrompts
from mapsr.refine import RefineSettings
from mapsr.settings import Plain, choice
from mapsr.upsample import EnlargedOperator, PixelFeatures, carried

if TYPE_CHECKING:
    from mapsr.methods.parts import MethodParts

_PRECISIONS = ("float32", "bfloat16")


class SpeedSettings(Protocol):
    """What each choice of the group ``speed`` offers."""

    @property
    def precision(self) -> str:
        """The type of number that networks multiply, where the processor can."""
        ...

    @property
    def guide(self) -> int:
        """Pixels of the image along an axis for one that the upsampler sees."""
        ...

    def eased(self, refine: RefineSettings) -> RefineSettings:
        """The refinement that is done in place of this one."""
        ...


@choice("speed", "exact")
@dataclass(frozen=True)
class ExactSettings:
    """All as the other groups say."""

    precision: ClassVar[str] = "float32"
    guide: ClassVar[int] = 1

    def eased(self, refine: RefineSettings) -> RefineSettings:
        """The same."""
        return refine


@choice("speed", "fast")
@dataclass(frozen=True)
class FastSettings:
    """Less work for nearly the same map; docs/speed.md says how near."""

    precision: str = "bfloat16"
    """Numbers that the encoder and AnyUp multiply: "bfloat16" where the processor has instructions
    for them (AVX512-BF16, AMX; a GPU since Ampere), else float32, as with "float32". What has no
    network stays as it is."""
    guide: int = 2
    """The upsampler's network sees the image reduced by this factor along each side, 1 to 4;
    superpixels, or colours where there are none, carry its scores to full resolution. 1 keeps
    objects of one or two pixels. Methods without refine= see the whole image."""
    neighbours: int = 30
    """Most neighbours of a node in the graph; refine.neighbours where that is less."""
    tolerance: float = 1e-3
    """Relative error at which the graph's solver may stop; refine.tolerance where that is more."""

    def __post_init__(self) -> None:
        require_choice(self.precision, _PRECISIONS, "speed.precision")
        require_range(self.guide, "speed.guide", low=1, high=4)
        require_range(self.neighbours, "speed.neighbours", low=1)
        require_range(self.tolerance, "speed.tolerance", open_low=True, high=0.1)

    def eased(self, refine: RefineSettings) -> RefineSettings:
        """With fewer neighbours, and a coarser end of the solver."""
        return replace(
            refine,
            neighbours=min(refine.neighbours, self.neighbours),
            tolerance=max(refine.tolerance, self.tolerance),
        )


@dataclass(frozen=True)
class Pace:
    """How features are made on a device.

    Attributes:
        encoder: type of number that the encoder multiplies.
        upsampler: that the upsampler's network multiplies.
        guide: pixels of the image along an axis for one that the upsampler sees.
        note: why that is less than what was asked for; "" where it is not.
    """

    encoder: torch.dtype = torch.float32
    upsampler: torch.dtype = torch.float32
    guide: int = 1
    note: str = ""

    def facts(self) -> Plain:
        """For a record, ready for JSON."""
        names = ("encoder", "upsampler")
        found: Plain = {name: str(getattr(self, name)).removeprefix("torch.") for name in names}
        return found | {"guide": self.guide} | ({"note": self.note} if self.note else {})


EXACT = Pace()


def pace_of(parts: "MethodParts", device: torch.device) -> Pace:
    """What the settings come to on a device.

    Args:
        parts: of a method.
        device: that the encoder computes on.
    """
    speed = parts.speed
    if speed is None:
        return EXACT
    half, note = [], ""
    for part in (parts.backbone, parts.upsampler):
        half.append(speed.precision == "bfloat16" and getattr(part, "halves", False))
    if any(half) and not multiplies_bfloat16(device):
        half = [False, False]
        note = (
            "this processor is not known to have instructions for bfloat16, so encoder and "
            "upsampler compute in float32"
        )
    encoder, upsampler = (torch.bfloat16 if one else torch.float32 for one in half)
    # without a refinement nobody carries what was seen coarsely to the pixels
    carries = "refine" in parts.method.uses and getattr(parts.upsampler, "coarsens", False)
    guide = speed.guide if carries else 1
    return Pace(encoder, upsampler, guide, note)


def cosines(
    prompts: ClassPrompts,
    features: PixelFeatures,
    image: Callable[[], Tensor],
    refine: RefineSettings,
) -> Tensor:
    """Cosine of each pixel to the prompts that exist, (B, P, H, W).

    Args:
        prompts: of the classes.
        features: of the images; those of a smaller plane are carried to the pixels by colour,
            unless superpixels will do that.
        image: gives the images that the features are of, (B, bands, H, W).
        refine: what is done with the cosines.
    """
    operator = features.operator
    if refine.nodes == "superpixels" or not isinstance(operator, EnlargedOperator):
        return prompts.cosine(features)
    small = PixelFeatures(features.tokens, operator.inner)
    return carried(image(), prompts.cosine(small))
