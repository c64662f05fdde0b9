"""The settings of a training recipe."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mapsr.errors import ConfigError, require_choice, require_range
from mapsr.settings import aside, choice
from mapsr.training.losses import LOSSES

OnStep = Callable[[int, Mapping[str, float]], None]
"""Called with the number of a finished step, from 1, and its metrics by name."""
SCHEDULES = ("constant", "poly", "cosine", "restarts")


@choice("training", "recipe")
@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained: chips, augmentation, loss, optimiser, schedule.

    Raises:
        ConfigError: a number is out of range.
        ConfigError: a choice is unknown.
        ConfigError: epochs and max_steps are both null.
    """

    epochs: int | None = 30
    """Passes over the scenes, at least 1; null: as many as max_steps takes. More fit the labels
    better, errors of a coarse product included. Published: 30 (UNetFormer), 100 (Paraformer)."""
    max_steps: int | None = None
    """Most optimiser steps, and the length of the schedule where that is shorter than epochs; null:
    no limit. Some dozens make a trial; EfficientViM's published recipe has 40,000."""
    batch: int = 16
    """Chips per step, at least 1. Memory grows with it; a smaller batch makes batch norm and
    gradients noisier and needs a smaller learning rate. Published: 10 to 32."""
    crop: int = 512
    """Side of a chip in pixels, at least 1, best a multiple of 64; a smaller scene is taken whole
    and padded. Memory grows with its square; a larger one shows the network more context.
    Published: 512, Paraformer 224."""
    chips_per_scene: int = 50
    """Random chips of each scene per epoch, at least 1: the more, the longer an epoch. Paraformer
    has 50 for tiles of about 6000 x 7500 px; small scenes need fewer."""
    reject: bool = False
    """Redraw a chip that has a nodata label or a pixel that is zero in all bands. True is
    Paraformer's rule and needs scenes that are mostly complete; false trains on such chips too and
    ignores their gaps."""
    scales: tuple[float, ...] = (1.0,)
    """Factors above 0 of which one, drawn evenly, enlarges each chip; below 1 a chip shows more of
    the scene. A wider range makes the network indifferent to the size of objects, which helps where
    scenes differ in pixel size. UNetFormer: 0.75 to 1.5."""
    most_of_class: float = 1.0
    """Largest share of one class in a chip, in (0, 1]; a chip above it is redrawn, at most ten
    times. 1 accepts any; smaller favours mixed chips and thus rare classes. UNetFormer: 0.75."""
    flip_horizontal: float = 0.0
    """Probability of a left-right flip, in [0, 1]. UNetFormer and EfficientViM: 0.5; Paraformer: 0.
    Seen from above, flips are free variety, but shadows then fall to both sides."""
    flip_vertical: float = 0.0
    """Probability of a top-bottom flip, in [0, 1]; no published recipe has one."""
    rotate: float = 0.0
    """Probability of a rotation by 90, 180 or 270 degrees, in [0, 1]; UNetFormer has 0.5 for
    Vaihingen and none for LoveDA."""
    mosaic: float = 0.0
    """Probability that a chip is assembled from parts of four, in [0, 1]: more variety per chip,
    less context. UNetFormer has 0.25 for Vaihingen and none for LoveDA."""
    loss: str = "cross_entropy"
    """"cross_entropy" for any network; "plat" for Paraformer, whose transformer learns only from
    labels that its other branch predicts; "unetformer", label smoothing and Dice, which gives
    rare classes more weight; "confident_area", a stand-in for L2HNet's loss, for labels with many
    errors."""
    warm_up: float = 0.2
    """Share of the steps with plain cross-entropy, in [0, 1], before loss=confident_area selects
    labels; 0 selects by an untrained network. Not published: raise it where the loss stalls."""
    confident_threshold: float | None = None
    """Smallest probability of a label in the confident area, in [0, 1], with loss=confident_area;
    higher drops more labels, 0 none. Null: the label must be the most probable class."""
    confident_entropy: float = 0.0
    """Weight, at least 0, of the entropy outside the confident area, with loss=confident_area: 0
    ignores these pixels, more pushes them to a decision sooner, right or wrong."""
    optimizer: str = "adamw"
    """"adamw", or "sgd", which needs a learning rate some ten times as high (Paraformer: 0.01)."""
    learning_rate: float = 6e-4
    """At the start, above 0. Lower it where the loss jumps or diverges, raise it where it hardly
    falls. Published: 0.0002 to 0.0006 with AdamW, 0.01 with SGD."""
    encoder_learning_rate: float | None = None
    """Of the network's encoder at the start, at least 0; null: that of the rest. A tenth of it, as
    in UNetFormer's recipe, keeps more of the pretraining; 0 freezes the encoder's parameters."""
    momentum: float = 0.9
    """Of optimizer=sgd, in [0, 1]; 0.9 is Paraformer's and the usual value."""
    weight_decay: float = 0.01
    """At least 0; more pulls weights harder to zero, against overfitting. Published: 0.01 with
    UNetFormer's AdamW, 0.0001 in Paraformer's and EfficientViM's recipes."""
    decay_biases: bool = True
    """Whether weight decay applies to biases too; false in UNetFormer's recipe. It matters little
    where weight_decay is small."""
    lookahead: int | None = None
    """Steps, at least 1, after which the weights move part of the way from where they last stood to
    where they are; null: never. 5 in UNetFormer's recipe; it steadies a high learning rate."""
    lookahead_share: float = 0.5
    """That part of the way, in (0, 1]; 0.5 is published, 1 is as without lookahead."""
    schedule: str = "cosine"
    """Of the learning rate: "constant", for trials without an end; "poly" and "cosine" fall to
    least_learning_rate; "restarts" is a cosine that starts again. UNetFormer has cosine (restarts
    for Vaihingen), Paraformer and EfficientViM poly."""
    schedule_by: str = "step"
    """Whether the learning rate changes with each "step" or "epoch"; choose "step" where there are
    few epochs. UNetFormer's recipe has "epoch"."""
    least_learning_rate: float = 0.0
    """Where poly, cosine and each cycle of restarts end, at least 0; 0.000001 is published for
    UNetFormer and EfficientViM."""
    power: float = 0.9
    """Exponent of schedule=poly, at least 0: 1 falls in a straight line, less stays high for longer
    and falls at the end. Paraformer and EfficientViM have 0.9."""
    restart: int = 15
    """Epochs of the first cycle, at least 1, with schedule=restarts; UNetFormer: 15."""
    restart_factor: int = 2
    """How many times as long each cycle is as the one before, at least 1, with schedule=restarts;
    UNetFormer: 2. Epochs should end with a cycle: 15, 45, 105 and so on."""
    freeze_norm: bool = False
    """Normalise in the encoder by its pretrained batch statistics, as EfficientViM's recipe does:
    for batches that are too small to measure their own. Needs network.pretrained=true."""
    flaws: str = "none"
    """What recipe=released repeats besides the errors of the losses: "paraformer" (a schedule
    counted in chips, so that it hardly decays; a learning rate scaled by the batch only for
    multiples of 6; workers that draw the same random numbers), or "none"."""
    checkpoint_every: int | None = aside(1)
    """Epochs between checkpoints, at least 1, from which an interrupted training resumes; null:
    none. A larger number writes less and loses more. Paraformer: 20."""
    workers: int = aside(0)
    """Threads that read chips ahead, at least 0; the results are the same with any number. Raise it
    to some of the CPU's cores where the GPU waits for chips."""

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
