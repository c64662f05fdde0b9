"""Training of the baseline networks: chips, augmentation, optimiser, schedule, checkpoints."""

from mapsr.training.checkpoint import Checkpoint
from mapsr.training.sampling import LabelledScenes
from mapsr.training.settings import TrainingSettings
from mapsr.training.train import TrainContext, identity_of, train_network

__all__ = [
    "Checkpoint",
    "LabelledScenes",
    "TrainContext",
    "TrainingSettings",
    "identity_of",
    "train_network",
]
