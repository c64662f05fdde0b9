"""Frozen encoders: from an image to a grid of tokens."""

from mapsr.features.encoder import Encoder, EncoderSettings
from mapsr.features.texture import Texture, TextureSettings
from mapsr.features.timm_encoder import TimmEncoder, TimmSettings
from mapsr.features.torchgeo_encoder import TorchgeoEncoder, TorchgeoSettings
from mapsr.features.vit import ViT, ViTSettings

__all__ = [
    "Encoder",
    "EncoderSettings",
    "Texture",
    "TextureSettings",
    "TimmEncoder",
    "TimmSettings",
    "TorchgeoEncoder",
    "TorchgeoSettings",
    "ViT",
    "ViTSettings",
]
