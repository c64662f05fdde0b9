"""Training of the baseline networks: chips, augmentation, losses, optimiser, checkpoints."""

from mapsr.training.checkpoint import Checkpoint
from mapsr.training.file import Outputs, architecture_of, load_network, save_network
from mapsr.training.sampling import LabelledScenes
from mapsr.training.settings import TrainingSettings
from mapsr.training.train import TrainContext, identity_of, train_network

__all__ = [
    "Checkpoint",
    "LabelledScenes",
    "Outputs",
    "TrainContext",
    "TrainingSettings",
    "architecture_of",
    "identity_of",
    "load_network",
    "save_network",
    "train_network",
]
