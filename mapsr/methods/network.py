"""A trained network as a method: from images and labels of many scenes to a map's scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mapsr.data import Chip
from mapsr.errors import ConfigError, DataError, require_choice, require_range
from mapsr.legends import NODATA, Crosswalk
from mapsr.methods.method import Method, Task
from mapsr.networks import NetworkSettings, SegmentationNetwork
from mapsr.settings import choice
from mapsr.training import (
    Checkpoint,
    LabelledScenes,
    Outputs,
    TrainContext,
    TrainingSettings,
    architecture_of,
    identity_of,
    save_network,
    train_network,
)
from mapsr.training.file import FILE


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
        """What the outputs of a network are that learns from these labels.

        Args:
            coarse: from the product to the target classes.

        Raises:
            ConfigError: no class is left to learn.
        """
        classes = coarse.target.names
        if self.classes == "product":
            kept = [k for k, name in enumerate(coarse.source.names) if name not in self.skip]
            targets = [coarse.table[k] for k in kept]
            learned = [kept.index(k) if k in kept else NODATA for k in range(len(coarse.source))]
        else:
            targets = list(range(len(classes)))
            learned = targets if self.labels == "truth" else list(coarse.table)
        if all(target == NODATA for target in targets):
            raise ConfigError(
                "No class of the product that gets an output stands for a target class: shorten "
                "method.skip, or choose another legend.crosswalk."
            )
        if self.background:
            targets = [NODATA, *targets]
            learned = [NODATA if one == NODATA else one + 1 for one in learned]
        return Outputs(tuple(learned), tuple(targets), classes)


class NetworkMethod(Method):
    """A network, trained on random chips of the scenes to fit on.

    Attributes:
        network: once it is fitted; on the task's device.
        outputs: what its outputs stand for, once it is fitted.
    """

    def __init__(
        self,
        network: NetworkSettings,
        training: TrainingSettings,
        settings: NetworkMethodSettings,
        released: bool = False,
        weights_folder: str | None = None,
    ) -> None:
        """Describe the method; nothing is built or read yet.

        Args:
            network: which network.
            training: its recipe.
            settings: what it learns.
            released: train with the faults of the authors' code.
            weights_folder: searched for the encoder's first weights before all others.
        """
        self.network_settings = network
        self.training = training
        self.settings = settings
        self.released = released
        self.weights_folder = weights_folder
        self.network: SegmentationNetwork | None = None
        self.outputs: Outputs | None = None
        self._checkpoint: Checkpoint | None = None
        self._trained = 0
        self._facts: dict[str, object] = {}

    @property
    def trained_parameters(self) -> int:
        """All numbers of the network, those included that lead nowhere."""
        return self._trained

    @property
    def weights(self) -> list[dict[str, str]]:
        """What the encoder began with, if not with random numbers."""
        first = self.network.weights if self.network else None
        return [first] if first else []

    def fit(self, task: Task) -> None:
        """Build the network and train it; a training that was killed goes on.

        Raises:
            ConfigError: settings that do not fit each other or the images, or a training that
                diverged.
            DataError: a scene has no labels, or no chip without gaps.
            WeightsError: the encoder's weights are absent, or the checkpoint in the task's folder
                is damaged or another network's.
        """
        settings = self.settings
        bands = task.bands if settings.bands is None else settings.bands
        if bands > task.bands:
            raise ConfigError(
                f"method.bands is {bands}, but the images have {task.bands}: set method.bands to "
                "that or less."
            )
        self.outputs = settings.outputs(task.coarse)
        scenes = LabelledScenes(
            task.source, task.scenes, settings.labels, self.outputs.learned, bands
        )
        with task.watch("build"):
            network = self.network_settings.build(
                bands, len(self.outputs.targets), self.weights_folder, task.seed
            )
        self._trained = network.trainable_parameters
        identity = self._identity(task, network, self.outputs)
        self._checkpoint = Checkpoint(task.folder / "checkpoints", identity)
        where = TrainContext(
            checkpoint=self._checkpoint,
            device=task.device,
            precision=task.precision,
            seed=task.seed,
            released=self.released,
            progress=task.progress,
            on_step=task.seen,
        )
        with task.watch("train"):
            self._facts = train_network(network, scenes, self.training, where)
        self.network = network

    @torch.no_grad()
    def score(self, chips: Sequence[Chip]) -> dict[str, Tensor]:
        """Probabilities of the target classes; see `Outputs.scores`.

        Raises:
            DataError: the method is not fitted.
        """
        if self.network is None or self.outputs is None:
            raise DataError("The network is not trained yet: fit it before it scores.")
        image = torch.stack([chip.image for chip in chips]).to(self.network.mean.device)
        logits = self.network(image)[0]  # (B, outputs, H, W)
        return {"map": self.outputs.scores(logits)}

    def facts(self) -> dict[str, object]:
        """The recipe and how the training went."""
        recipe = "released" if self.released else "corrected"
        return {"recipe": recipe, "outputs": self._count(), **self._facts}

    def save(self, folder: Path) -> None:
        """Write ``network.safetensors``; the training's checkpoint is then given up.

        Raises:
            DataError: the method is not fitted.
        """
        if self.network is None or self.outputs is None:
            raise DataError("The network is not trained yet: fit it before it is saved.")
        save_network(folder / FILE, self.network, self.network_settings, self.outputs)
        if self._checkpoint is not None:
            self._checkpoint.remove()

    def _count(self) -> int:
        return len(self.outputs.targets) if self.outputs else 0

    def _identity(
        self, task: Task, network: SegmentationNetwork, outputs: Outputs
    ) -> dict[str, object]:
        """What the trained weights depend on, by key."""
        architecture = architecture_of(self.network_settings)
        return {
            **{f"network.{key}": value for key, value in architecture.items()},
            "network.bands": network.bands,
            "network.weights": network.weights,
            "method.labels": self.settings.labels,
            "outputs": list(outputs.targets),
            "learned": list(outputs.learned),
            **identity_of(self.training),
            "recipe": "released" if self.released else "corrected",
            "seed": task.seed,
            "precision": task.precision,
            "scenes": [scene.name for scene in task.scenes],
        }
