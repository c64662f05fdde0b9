"""The probe as Lightning trains it; imported only where one is trained."""

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from mapsr.prompts.probe import LinearProbe
from mapsr.upsample import PixelFeatures

_Batch = tuple[Tensor | PixelFeatures, Tensor]


class ProbeTraining(L.LightningModule):
    """A linear probe in training."""

    def __init__(self, probe: LinearProbe) -> None:
        super().__init__()
        self.probe = probe

    def training_step(self, batch: _Batch) -> Tensor:
        """Return the loss of a batch."""
        return self.probe.loss(*batch)

    def transfer_batch_to_device(self, batch: _Batch, device: torch.device, index: int) -> _Batch:
        """Leave a batch where its features are: the encoder put them on the device."""
        return batch

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with a cosine decay to zero over all steps."""
        settings = self.probe.settings
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        steps = int(self.trainer.estimated_stepping_batches)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": decay, "interval": "step"}}
