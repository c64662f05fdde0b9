"""Frozen encoders: from an image to a grid of tokens."""

from mapsr.features.encoder import Encoder, EncoderSettings
from mapsr.features.texture import Texture, TextureSettings
from mapsr.features.vit import ViT, ViTSettings

__all__ = ["Encoder", "EncoderSettings", "Texture", "TextureSettings", "ViT", "ViTSettings"]
