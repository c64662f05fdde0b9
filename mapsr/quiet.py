"""Lightning's trainer without its output, for trainings that report by themselves."""

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from mapsr.extras import require_extra

if TYPE_CHECKING:
    import lightning as L


def fit_quietly(
    module: "L.LightningModule", batches: object, accelerator: str, precision: str, epochs: int
) -> None:
    """Train a module in place on one device, without files, progress bars or tips.

    Args:
        module: to train.
        batches: a sized iterable of what its ``training_step`` takes.
        accelerator: Lightning's name of the device.
        precision: Lightning's name of the precision.
        epochs: passes over the batches.
    """
    require_extra("lightning", "A training")
    import lightning as L

    with _without_tips(), warnings.catch_warnings():
        # Lightning's own bug: https://github.com/Lightning-AI/pytorch-lightning/issues/21326
        warnings.filterwarnings(
            "ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning
        )
        # the user chose the device
        warnings.filterwarnings("ignore", "GPU available but not used")
        trainer = L.Trainer(
            accelerator=accelerator,
            devices=1,
            precision=cast(Any, precision),  # Lightning's type of it is private
            max_epochs=epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        with interruptible():
            trainer.fit(module, train_dataloaders=batches)


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it, an interrupt stays one: Lightning would turn it into the end of the program."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        raise (error.__context__ or KeyboardInterrupt()) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)  # Lightning leaves it ignored


@contextmanager
def _without_tips() -> Iterator[None]:
    """Hide Lightning's tips; its warnings and errors stay."""
    lightning = logging.getLogger("lightning.pytorch")
    level = lightning.level
    lightning.setLevel(logging.WARNING)
    try:
        yield
    finally:
        lightning.setLevel(level)
