"""Lightning's trainer without its talk: for trainings that report by themselves."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import lightning as L


def fit_quietly(
    module: "L.LightningModule", batches: object, accelerator: str, precision: str, epochs: int
) -> None:
    """Train a module in place, on one device; no files, no bars, no advice.

    Args:
        module: what is trained.
        batches: a sized iterable of what its ``training_step`` takes.
        accelerator: Lightning's name of the device.
        precision: Lightning's name of the precision.
        epochs: passes over the batches.
    """
    import lightning as L

    with _hushed(), warnings.catch_warnings():
        # Lightning's own: https://github.com/Lightning-AI/pytorch-lightning/issues/21326
        warnings.filterwarnings(
            "ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning
        )
        # the device is the user's choice
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
        trainer.fit(module, train_dataloaders=batches)


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep Lightning's advice off the terminal; its warnings and errors stay."""
    lightning = logging.getLogger("lightning.pytorch")
    level = lightning.level
    lightning.setLevel(logging.WARNING)
    try:
        yield
    finally:
        lightning.setLevel(level)
