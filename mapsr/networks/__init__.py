"""The trained baselines' networks: images to class logits, one architecture a file."""

from mapsr.networks.efficientvim import EfficientViM, EfficientViMSettings
from mapsr.networks.efficientvit import EfficientViT, EfficientViTSettings
from mapsr.networks.l2hnet import L2HNet, L2HNetSettings
from mapsr.networks.network import MAP, NetworkSettings, SegmentationNetwork
from mapsr.networks.paraformer import Paraformer, ParaformerLogits, ParaformerSettings
from mapsr.networks.smp import SmpNetwork, SmpSettings
from mapsr.networks.unetformer import UNetFormer, UNetFormerSettings

__all__ = [
    "MAP",
    "EfficientViM",
    "EfficientViMSettings",
    "EfficientViT",
    "EfficientViTSettings",
    "L2HNet",
    "L2HNetSettings",
    "NetworkSettings",
    "Paraformer",
    "ParaformerLogits",
    "ParaformerSettings",
    "SegmentationNetwork",
    "SmpNetwork",
    "SmpSettings",
    "UNetFormer",
    "UNetFormerSettings",
]
