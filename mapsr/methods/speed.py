"""How fast and how exact features and maps are made: the group ``speed``."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Protocol

import torch
from torch import Tensor

from mapsr.errors import require_choice, require_range
from mapsr.processors import multiplies_bfloat16, multiplies_int8, products
from mapsr.prompts import ClassPrompts
from mapsr.refine import RefineSettings
from mapsr.settings import Plain, choice
from mapsr.upsample import EnlargedOperator, PixelFeatures, carried

if TYPE_CHECKING:
    from mapsr.methods.parts import MethodParts

_PRECISIONS = ("float32", "bfloat16", "int8")


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

    precision: str = "int8"
    """Numbers that networks multiply. "int8": the encoder's linear layers int8, all else of the
    encoder, AnyUp and the similarity of superpixels bfloat16, each where the processor has
    instructions for them (AVX512-VNNI, AVX512-BF16, AMX; on a GPU all are bfloat16), else the next
    larger; "bfloat16": no int8; "float32": neither. What has no network stays as it is."""
    guide: int = 2
    """The upsampler's network sees the image reduced by this factor along each side, 1 to 4;
    superpixels, or colours where there are none, carry its scores to full resolution. 1 keeps
    objects of one or two pixels. Methods without refine= see the whole image."""
    neighbours: int = 30
    """Most neighbours of a node in the graph; refine.neighbours where that is less."""
    rounds: int = 5
    """Most rounds of SLIC; refine.rounds where that is less."""
    tolerance: float = 1e-3
    """Relative error at which the graph's solver may stop; refine.tolerance where that is more."""

    def __post_init__(self) -> None:
        require_choice(self.precision, _PRECISIONS, "speed.precision")
        require_range(self.guide, "speed.guide", low=1, high=4)
        require_range(self.neighbours, "speed.neighbours", low=1)
        require_range(self.rounds, "speed.rounds", low=1)
        require_range(self.tolerance, "speed.tolerance", open_low=True, high=0.1)

    def eased(self, refine: RefineSettings) -> RefineSettings:
        """With fewer neighbours and rounds, smaller numbers, and a coarser end of the solver."""
        return replace(
            refine,
            neighbours=min(refine.neighbours, self.neighbours),
            precision="float32" if self.precision == "float32" else "bfloat16",
            rounds=min(refine.rounds, self.rounds),
            tolerance=max(refine.tolerance, self.tolerance),
        )


@dataclass(frozen=True)
class Pace:
    """How features are made on a device.

    Attributes:
        linear: type of number that the encoder's linear layers multiply.
        encoder: that the rest of the encoder multiplies.
        upsampler: that the upsampler's network multiplies.
        guide: pixels of the image along an axis for one that the upsampler sees.
        note: why that is less than what was asked for; "" where it is not.
    """

    linear: torch.dtype = torch.float32
    encoder: torch.dtype = torch.float32
    upsampler: torch.dtype = torch.float32
    guide: int = 1
    note: str = ""

    def facts(self) -> Plain:
        """For a record, ready for JSON."""
        found: Plain = {
            "encoder": products(self.linear, self.encoder),
            "upsampler": products(self.upsampler),
            "guide": self.guide,
        }
        return found | ({"note": self.note} if self.note else {})


EXACT = Pace()


def pace_of(parts: "MethodParts", device: torch.device, *, compiled: bool = False) -> Pace:
    """What the settings come to on a device.

    Args:
        parts: of a method.
        device: that the encoder computes on.
        compiled: whether torch compiles the encoder: its linear layers are left to it then.
    """
    speed = parts.speed
    if speed is None:
        return EXACT
    halves = [getattr(part, "halves", False) for part in (parts.backbone, parts.upsampler)]
    wanted = {
        torch.int8: speed.precision == "int8" and halves[0] and device.type == "cpu",
        torch.bfloat16: speed.precision != "float32" and any(halves),
    }
    able = {torch.int8: multiplies_int8(device), torch.bfloat16: multiplies_bfloat16(device)}
    used = {kind: wanted[kind] and able[kind] for kind in wanted}
    encoder, upsampler = (
        torch.bfloat16 if used[torch.bfloat16] and half else torch.float32 for half in halves
    )
    linear = torch.int8 if used[torch.int8] and not compiled else encoder
    missing = [products(kind) for kind in wanted if wanted[kind] and not used[kind]]
    note = (
        f"this processor is not known to have instructions for {' or '.join(missing)}, so "
        f"{'bfloat16' if used[torch.bfloat16] else 'float32'} is used instead"
        if missing
        else ""
    )
    # without a refinement nobody carries what was seen coarsely to the pixels
    carries = "refine" in parts.method.uses and getattr(parts.upsampler, "coarsens", False)
    guide = speed.guide if carries else 1
    return Pace(linear, encoder, upsampler, guide, note)


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
