"""A trained network as a method: from images and labels of many scenes to a map's scores."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mapsr.data import Chip
from mapsr.errors import ConfigError, DataError, FittedError, require_choice, require_range
from mapsr.extras import require_extra
from mapsr.legends import Crosswalk, Legend
from mapsr.methods.method import FitWork, ImageFacts, Method, State, Task
from mapsr.methods.network_state import hash_of, load_weights
from mapsr.methods.outputs import Outputs, outputs_of
from mapsr.methods.parts import MethodParts, Runtime
from mapsr.methods.said import mapping, whole
from mapsr.networks import NetworkSettings, SegmentationNetwork
from mapsr.settings import Plain, choice, plain
from mapsr.training import (
    Checkpoint,
    LabelledScenes,
    TrainContext,
    TrainingSettings,
    identity_of,
    train_network,
)

# What a network starts from is not part of what it is.
_START = {"weights", "checkpoint", "pretrained"}


@choice("method", "network")
@dataclass(frozen=True)
class NetworkMethodSettings:
    """What a network learns from, and what its outputs are.

    Raises:
        ConfigError: a word is unknown, bands is below 1, or product classes are to be learned from
            the truth.
    """

    labels: str = "coarse"
    """What it learns from: the "coarse" product, or the "truth" of the scenes to fit on."""
    classes: str = "target"
    """What its outputs are: "target" classes, or the "product"'s own, mapped afterwards."""
    skip: tuple[str, ...] = ()
    """Names of classes of the product that get no output: their pixels count as unlabelled, with
    classes=product. Names that the product has not are passed over."""
    background: bool = False
    """One more output, before the others, that is never learned and never wins: the published
    networks have one for nodata."""
    bands: int | None = None
    """How many leading bands of the images the network reads; null: all."""

    adjustable: ClassVar[tuple[str, ...]] = ()
    uses: ClassVar[tuple[str, ...]] = ("network", "training", "recipe", "compute.precision")

    def learns_from(self, parts: MethodParts) -> str:
        """The labels that it is trained on."""
        return self.labels

    def build(self, parts: MethodParts, runtime: Runtime, target: Legend) -> "NetworkMethod":
        """Describe the method; the network itself is built by its fit, or when it is loaded."""
        assert parts.network is not None and parts.training is not None, "checked with the parts"
        released = parts.recipe == "released"
        return NetworkMethod(parts.network, parts.training, self, runtime, released)

    def __post_init__(self) -> None:
        object.__setattr__(self, "skip", tuple(self.skip))  # OmegaConf gives a list
        require_choice(self.labels, ("coarse", "truth"), "method.labels")
        require_choice(self.classes, ("target", "product"), "method.classes")
        if self.classes == "product" and self.labels != "coarse":
            raise ConfigError(
                "method.classes=product, but method.labels=truth has no product's classes: set "
                "method.labels=coarse or method.classes=target."
            )
        if self.bands is not None:
            require_range(self.bands, "method.bands", low=1)

    def outputs(self, coarse: Crosswalk) -> Outputs:
        """What the outputs of a network are that learns from these labels; see ``outputs_of``."""
        skip = self.skip if self.classes == "product" else None
        return outputs_of(coarse, skip, truth=self.labels == "truth", background=self.background)


class NetworkMethod(Method):
    """A network, trained on random chips of the scenes to fit on.

    Attributes:
        network: once it is fitted or loaded; on the method's device.
        outputs: what its outputs stand for, once it is fitted or loaded.
    """

    def __init__(
        self,
        network: NetworkSettings,
        training: TrainingSettings,
        settings: NetworkMethodSettings,
        runtime: Runtime | None = None,
        released: bool = False,
    ) -> None:
        """Describe the method; nothing is built or read yet.

        Args:
            network: which network.
            training: its recipe.
            settings: what it learns.
            runtime: where it computes; None: on the CPU.
            released: train with the faults of the authors' code.
        """
        self.network_settings = network
        self.training = training
        self.settings = settings
        self.released = released
        self.network: SegmentationNetwork | None = None
        self.outputs: Outputs | None = None
        self._runtime = runtime or Runtime(torch.device("cpu"))
        self._checkpoint: Checkpoint | None = None
        self._facts: Plain = {}

    @property
    def channels(self) -> tuple[int, ...] | None:
        """Target class of each output, where several stand for one."""
        return self.outputs.channels if self.outputs else None

    @property
    def trained_parameters(self) -> int:
        """All parameters of the network, those included that lead nowhere."""
        return sum(p.numel() for p in self.network.parameters()) if self.network else 0

    @property
    def weights(self) -> dict[str, dict[str, str] | None]:
        """What the encoder began with, if not with random numbers."""
        first = self.network.weights if self.network else None
        return {"encoder": first} if first else {}

    def fit(self, task: Task) -> None:
        """Build the network and train it; a training that was killed goes on.

        Raises:
            ConfigError: settings that do not fit each other or the images, or a training that
                diverged.
            DataError: a scene has no labels, or no chip without gaps.
            WeightsError: the encoder's weights are absent, or the checkpoint in the task's folder
                is damaged or another network's.
        """
        require_extra("lightning", "Training a network")
        runtime = self._runtime
        bands = self._bands(task.image.bands)
        outputs = self.settings.outputs(task.coarse)
        scenes = LabelledScenes(
            task.source, task.scenes, self.settings.labels, outputs.learned, bands
        )
        with runtime.watch("build"):
            network = self.network_settings.build(
                bands, len(outputs.targets), runtime.weights_folder, task.seed
            )
        if task.start is not None:
            load_weights(network, task.start)
        identity = self._identity(task, network, outputs)
        self._checkpoint = Checkpoint(task.folder / "checkpoints", identity)
        context = TrainContext(
            checkpoint=self._checkpoint,
            device=runtime.device,
            precision=runtime.precision,
            seed=task.seed,
            released=self.released,
            progress=task.progress,
            on_step=task.on_step,
        )
        with runtime.watch("train"):
            self._facts = train_network(network, scenes, self.training, context)
        if self.settings.labels == "truth":
            self._facts["truth_scenes"] = [scene.name for scene in task.scenes]
        self.network, self.outputs = network, outputs

    @torch.no_grad()
    def score(self, chips: Sequence[Chip], layers: Sequence[str] = ("map",)) -> dict[str, Tensor]:
        """Probabilities of outputs or target classes; see `Outputs.scores`.

        Raises:
            DataError: the method is not fitted.
        """
        network, outputs = self._fitted()
        image = torch.stack([chip.image for chip in chips]).to(network.mean.device)
        logits = network(image)[0]  # (B, outputs, H, W)
        return {"map": outputs.scores(logits, every=self.released)}

    def facts(self) -> Plain:
        """The recipe and how the training went."""
        recipe = "released" if self.released else "corrected"
        count = len(self.outputs.targets) if self.outputs else 0
        return {"recipe": recipe, "outputs": count, **self._facts}

    def state(self) -> State:
        """Weights of the network, and what its outputs stand for.

        Raises:
            DataError: the method is not fitted.
        """
        network, outputs = self._fitted()
        facts = {"bands": network.bands, "outputs": dataclasses.asdict(outputs)}
        return State(network.state_dict(), facts)

    def load(self, state: State) -> None:
        """Build the network without its first weights, and load it.

        Raises:
            FittedError: the weights are not those of the network, or are not whole.
        """
        try:
            outputs = Outputs.from_plain(mapping(state.facts["outputs"], "outputs"))
            bands = whole(state.facts["bands"], "bands", 1, 10_000)
            network = self._bare().build(bands, len(outputs.targets))
        except (LookupError, TypeError, ValueError, ConfigError) as error:
            raise FittedError(
                f"What the file says of its network is not whole ({error}): fit it again."
            ) from error
        load_weights(network, state)
        self._ready(network, outputs)

    def settle(self) -> None:
        """Give up the training's checkpoint."""
        if self._checkpoint is not None:
            self._checkpoint.remove()

    def stand_in(self, coarse: Crosswalk, image: ImageFacts) -> None:
        """Take the network as it starts from random numbers."""
        outputs = self.settings.outputs(coarse)
        network = self._bare().build(self._bands(image.bands), len(outputs.targets))
        self._ready(network, outputs)

    def work(self, chips: int) -> FitWork:
        """Not known beforehand: steps of a training are measured as they come."""
        return FitWork(words="the network")

    def _fitted(self) -> tuple[SegmentationNetwork, Outputs]:
        if self.network is None or self.outputs is None:
            raise DataError("The network is not trained yet: fit it, or load it from a run.")
        return self.network, self.outputs

    def _ready(self, network: SegmentationNetwork, outputs: Outputs) -> None:
        network.to(self._runtime.device).requires_grad_(False).eval()
        self.network, self.outputs = network, outputs

    def _bands(self, present: int | None) -> int:
        if present is None:
            raise DataError("How many bands the images have is not known.")
        bands = present if self.settings.bands is None else self.settings.bands
        if bands > present:
            raise ConfigError(
                f"method.bands is {bands}, but the images have {present}: set method.bands to "
                "that or less."
            )
        return bands

    def _bare(self) -> NetworkSettings:
        """Settings of the same network that starts from random numbers."""
        settings: Any = self.network_settings
        names = {field.name for field in dataclasses.fields(settings)}
        start = {"pretrained": False, "checkpoint": None}
        bare: NetworkSettings = dataclasses.replace(
            settings, **{key: value for key, value in start.items() if key in names}
        )
        return bare

    def _identity(
        self, task: Task, network: SegmentationNetwork, outputs: Outputs
    ) -> dict[str, object]:
        """What the trained weights depend on, by key."""
        return {
            **{f"network.{key}": value for key, value in _architecture(self.network_settings)},
            "network.bands": network.bands,
            "network.weights": network.weights,
            "method.labels": self.settings.labels,
            "outputs": list(outputs.targets),
            "learned": list(outputs.learned),
            **identity_of(self.training),
            "recipe": "released" if self.released else "corrected",
            "seed": task.seed,
            "precision": self._runtime.precision,
            "scenes": [scene.name for scene in task.scenes],
            **({"start": hash_of(task.start)} if task.start else {}),
        }


def _architecture(settings: NetworkSettings) -> list[tuple[str, object]]:
    """The settings that make a network what it is, with its kind."""
    return [(key, value) for key, value in plain(settings).items() if key not in _START]
