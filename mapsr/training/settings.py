"""What a published training recipe consists of."""

from dataclasses import dataclass

from mapsr.errors import ConfigError, require_choice, require_range
from mapsr.settings import choice
from mapsr.training.losses import LOSSES

SCHEDULES = ("constant", "poly", "cosine", "restarts")


@choice("training", "recipe")
@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained: chips, augmentation, loss, optimiser, schedule.

    Raises:
        ConfigError: a number is out of range, a word is unknown, or two keys contradict each other.
    """

    epochs: int | None = 30
    """Passes over the scenes; null: as many as max_steps takes."""
    max_steps: int | None = None
    """Most steps in all, and the length of the schedule where that is shorter; null: no limit."""
    batch: int = 16
    """Chips of a step."""
    crop: int = 512
    """Side in pixels of a chip; a smaller scene is taken whole and padded."""
    chips_per_scene: int = 50
    """Random chips of each scene in an epoch."""
    reject: bool = False
    """Draw again where a chip has a pixel without label, or one that is zero in all bands."""
    scales: tuple[float, ...] = (1.0,)
    """A chip is enlarged by one of these, drawn evenly; below 1 it shows more of the scene."""
    most_of_class: float = 1.0
    """Largest share of one class in a chip, tried for ten times; 1: any."""
    flip_horizontal: float = 0.0
    """Probability that left and right change places."""
    flip_vertical: float = 0.0
    """Probability that top and bottom change places."""
    rotate: float = 0.0
    """Probability of a turn by one, two or three right angles."""
    mosaic: float = 0.0
    """Probability that a chip is put together from parts of four."""
    loss: str = "cross_entropy"
    """cross_entropy, plat (Paraformer), unetformer, or confident_area (a stand-in for L2HNet's)."""
    warm_up: float = 0.2
    """Share of the steps with plain cross-entropy, with loss=confident_area."""
    confident_threshold: float | None = None
    """Least probability of a label in the confident area; null: it must be the most probable."""
    confident_entropy: float = 0.0
    """Weight of the entropy outside the confident area."""
    optimizer: str = "adamw"
    """adamw or sgd."""
    learning_rate: float = 6e-4
    """At the start."""
    encoder_learning_rate: float | None = None
    """At the start, of the network's encoder; null: as the rest."""
    momentum: float = 0.9
    """With optimizer=sgd."""
    weight_decay: float = 0.01
    """Of the optimiser."""
    decay_biases: bool = True
    """Whether biases decay too."""
    lookahead: int | None = None
    """Steps after which the weights return part of the way to those before; null: never."""
    lookahead_share: float = 0.5
    """Part of the way that is kept."""
    schedule: str = "cosine"
    """Of the learning rate: constant, poly, cosine, or restarts (cosine, from the start again)."""
    schedule_by: str = "step"
    """Whether the learning rate changes with each "step" or "epoch"."""
    least_learning_rate: float = 0.0
    """Where poly and cosine end."""
    power: float = 0.9
    """Of the polynomial, with schedule=poly."""
    restart: int = 15
    """Epochs until the first restart, with schedule=restarts."""
    restart_factor: int = 2
    """How much longer each further cycle is."""
    freeze_norm: bool = False
    """Keep the batch statistics that the encoder came with."""
    flaws: str = "none"
    """What recipe=released repeats besides the losses' faults: "paraformer" (a schedule counted
    in chips, a learning rate that follows some batches, workers that draw alike), or "none"."""
    checkpoint_every: int | None = 1
    """Epochs between checkpoints, from which a killed training goes on; null: none."""
    workers: int = 0
    """Threads that read chips ahead; the results are the same with any number."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(self.scales))  # OmegaConf gives a list
        require_choice(self.loss, LOSSES, "training.loss")
        require_choice(self.optimizer, ("adamw", "sgd"), "training.optimizer")
        require_choice(self.schedule, SCHEDULES, "training.schedule")
        require_choice(self.schedule_by, ("step", "epoch"), "training.schedule_by")
        require_choice(self.flaws, ("none", "paraformer"), "training.flaws")
        self._check_counts()
        self._check_numbers()

    def _check_counts(self) -> None:
        for name in ("batch", "crop", "chips_per_scene", "restart", "restart_factor"):
            require_range(getattr(self, name), f"training.{name}", low=1)
        for name in ("epochs", "max_steps", "lookahead", "checkpoint_every"):
            if getattr(self, name) is not None:
                require_range(getattr(self, name), f"training.{name}", low=1)
        require_range(self.workers, "training.workers")
        if self.epochs is None and self.max_steps is None:
            raise ConfigError(
                "training.epochs and training.max_steps are both null, so that the training has no "
                "end: set one of them."
            )

    def _check_numbers(self) -> None:
        for name in ("flip_horizontal", "flip_vertical", "rotate", "mosaic", "warm_up"):
            require_range(getattr(self, name), f"training.{name}", high=1)
        for name in ("most_of_class", "lookahead_share"):
            require_range(getattr(self, name), f"training.{name}", high=1, open_low=True)
        require_range(self.momentum, "training.momentum", high=1)
        for name in ("weight_decay", "least_learning_rate", "power", "confident_entropy"):
            require_range(getattr(self, name), f"training.{name}")
        require_range(self.learning_rate, "training.learning_rate", open_low=True)
        if self.encoder_learning_rate is not None:
            require_range(self.encoder_learning_rate, "training.encoder_learning_rate")
        if self.confident_threshold is not None:
            require_range(self.confident_threshold, "training.confident_threshold", high=1)
        if not self.scales:
            raise ConfigError("training.scales is empty, expected at least one number, such as 1.")
        for scale in self.scales:
            require_range(scale, "training.scales", open_low=True)
