"""What a method is made of, and where it computes."""

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch

from mapsr.errors import ConfigError, require_choice, require_range
from mapsr.features.cache import CacheSettings, NoCacheSettings
from mapsr.features.encoder import EncoderSettings
from mapsr.legends import Legend
from mapsr.methods.speed import ExactSettings, SpeedSettings
from mapsr.networks import NetworkSettings
from mapsr.progress import Watch, unwatched
from mapsr.prompts import PriorSettings, PromptSettings
from mapsr.refine import RefineSettings
from mapsr.settings import Plain, aside, choice, chosen, group, groups_of, plain
from mapsr.training import TrainingSettings
from mapsr.upsample.upsampler import UpsamplerSettings

if TYPE_CHECKING:
    from mapsr.methods.method import Method

RECIPES = ("corrected", "released")


@choice("compute", "device")
@dataclass(frozen=True)
class ComputeSettings:
    """What a method computes on, in fitting and in mapping."""

    device: str = "auto"
    """"auto" (CUDA where there is one, else CPU), "cpu" or "cuda"."""
    precision: str = "32-true"
    """Lightning's name of the precision of a training: "32-true" gives published numbers,
    "bf16-mixed" is faster on recent GPUs."""
    compile: bool = aside(False)
    """Let torch compile the encoder: some minutes at the first chip of each size, which pays on a
    GPU over thousands of chips."""
    batch: int | None = None
    """Chips encoded at once. null: one on a CPU, which is best there; where a GPU maps, as many as
    its memory takes, found once by measuring."""
    memory_mib: int = 2048
    """Features kept between the passes over the chips that are fitted on, at most; those that find
    no room are computed again."""

    def __post_init__(self) -> None:
        require_choice(self.device, ("auto", "cpu", "cuda"), "compute.device")
        if self.batch is not None:
            require_range(self.batch, "compute.batch", low=1)
        require_range(self.memory_mib, "compute.memory_mib")

    def find(self) -> torch.device:
        """The torch device.

        Raises:
            ConfigError: this machine does not have it.
        """
        present = torch.cuda.is_available()
        if self.device == "auto":
            return torch.device("cuda" if present else "cpu")
        if self.device == "cuda" and not present:
            raise ConfigError(
                "compute.device=cuda, but torch finds no CUDA device here: set compute.device=auto."
            )
        return torch.device(self.device)


@dataclass(frozen=True)
class Runtime:
    """Where and how a method computes; may be sent to another process but for ``watch``.

    Attributes:
        device: of its tensors.
        weights_folder: searched for published weights before all others.
        precision: Lightning's name of the precision of a training.
        batch: most chips that are encoded at once; None: one, or what a GPU's memory takes.
        memory_mib: features kept while fitting.
        cache: where tokens are kept on disk.
        watch: times the stages.
        compiled: whether torch compiles the encoder.
    """

    device: torch.device
    weights_folder: str | None = None
    precision: str = "32-true"
    batch: int | None = None
    memory_mib: int = 0
    cache: CacheSettings = field(default_factory=NoCacheSettings)
    watch: Watch = unwatched
    compiled: bool = False

    def on(self, device: torch.device) -> "Runtime":
        """The same on another device."""
        return replace(self, device=device)


class MethodSettings(Protocol):
    """What each choice of the group ``method`` offers: a method is one class of this form.

    Attributes:
        adjustable: groups that may be changed once the method is fitted.
    """

    adjustable: ClassVar[tuple[str, ...]] = ()

    @property
    def uses(self) -> tuple[str, ...]:
        """Groups and keys, such as "backbone" or "compute.precision", that results depend on."""
        ...

    def learns_from(self, parts: "MethodParts") -> str:
        """The labels that it is fitted on: "coarse", or "truth" of the scenes to fit on."""
        ...

    def build(self, parts: "MethodParts", runtime: Runtime, target: Legend) -> "Method":
        """Make the method without a fit.

        Raises:
            ConfigError: parts that it needs are absent, or do not fit each other.
            WeightsError: weights are absent, damaged or of another architecture.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class MethodParts:
    """A method's settings, and the groups that methods are made of; what it does not use is idle.

    Raises:
        ConfigError: a group is set that the method does not use and that only others have, or one
            that it uses is not.
    """

    method: MethodSettings = group()
    backbone: EncoderSettings | None = group(optional=True)
    upsampler: UpsamplerSettings | None = group(optional=True)
    prompts: PromptSettings | None = group(optional=True)
    prior: PriorSettings | None = group(optional=True)
    refine: RefineSettings | None = group(optional=True)
    speed: SpeedSettings | None = group(optional=True)
    network: NetworkSettings | None = group(optional=True)
    training: TrainingSettings | None = group(optional=True)
    recipe: str = "corrected"
    """How networks are trained: "corrected", or as the authors "released" it, faults included."""

    def __post_init__(self) -> None:
        require_choice(self.recipe, RECIPES, "recipe")
        if self.speed not in (None, ExactSettings()) and "speed" not in self.method.uses:
            raise ConfigError(
                "speed= is set, but the method has no encoder whose tokens are upsampled, so there "
                "is nothing that it makes faster: leave it out, or choose method=mapsr_em."
            )
        for name in ("network", "training"):
            given, used = getattr(self, name) is not None, name in self.method.uses
            if given and not used:
                raise ConfigError(
                    f"{name}= is set, but the method trains no network: choose one, such as "
                    "method=unetformer, which sets it."
                )
            if used and not given:
                raise ConfigError(
                    f"The method trains a network, but {name}= is not set: choose a method such as "
                    "method=unetformer, which sets it."
                )

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the groups that the method uses, itself first."""
        groups = groups_of(MethodParts)
        return ("method", *(name for name in groups if name in self.method.uses))

    def only_used(self) -> "MethodParts":
        """The same parts without the idle ones."""
        values = {name: getattr(self, name) for name in self.used}
        return MethodParts(**values, recipe=self.recipe)

    def plain(self) -> Plain:
        """The used parts as plain containers."""
        values = {name: plain(getattr(self, name)) for name in self.used}
        return values | {"recipe": self.recipe}

    @staticmethod
    def from_plain(values: Plain) -> "MethodParts":
        """Make parts again from plain containers; other keys are passed over.

        Raises:
            ConfigError: a group, a key or a value is unknown or does not fit.
        """
        names = [name for name in groups_of(MethodParts) if values.get(name) is not None]
        made: dict[str, Any] = {name: chosen(name, values[name]) for name in names}
        if "method" not in made:
            raise ConfigError("method is missing, expected the settings of a method.")
        return MethodParts(**made, recipe=values.get("recipe", RECIPES[0]))

    @property
    def learns_from_truth(self) -> bool:
        """Whether the truth of the scenes to fit on goes into the method."""
        return self.method.learns_from(self) == "truth"

    @property
    def product_prior(self) -> float:
        """How much the coarse product at the place of a map counts in it; 0: it is not read."""
        return self.prior.strength if self.gives_probabilities and self.prior else 0.0

    @property
    def gives_probabilities(self) -> bool:
        """Whether its scores are probabilities."""
        return "prior" in self.method.uses and bool(self.prior and self.prior.gives_probabilities)

    def build(self, runtime: Runtime, target: Legend) -> "Method":
        """Make the method without a fit; see ``MethodSettings.build``."""
        return self.method.build(self, runtime, target)


def adjustable_groups(values: Plain) -> tuple[str, ...]:
    """Groups that may be changed once the method of these plain parts is fitted.

    Raises:
        ConfigError: the method is missing or unknown.
    """
    method: MethodSettings = chosen("method", values.get("method", {}))
    return tuple(method.adjustable)


def part_names() -> tuple[str, ...]:
    """Names of the groups that methods are made of."""
    return tuple(f.name for f in fields(MethodParts) if f.name in groups_of(MethodParts))
