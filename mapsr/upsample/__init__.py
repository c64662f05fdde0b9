"""Upsampling of tokens to pixels, as a linear operator that is never made dense."""

from mapsr.upsample.anyup import AnyUp, AnyUpSettings
from mapsr.upsample.bilateral import Bilateral, BilateralSettings
from mapsr.upsample.features import PixelFeatures
from mapsr.upsample.fixed import Bilinear, BilinearSettings, Nearest, NearestSettings
from mapsr.upsample.global_attention import GlobalOperator
from mapsr.upsample.jafar import Jafar, JafarSettings
from mapsr.upsample.operator import LocalOperator, PixelOperator
from mapsr.upsample.upsampler import Upsampler

__all__ = [
    "AnyUp",
    "AnyUpSettings",
    "Bilateral",
    "BilateralSettings",
    "Bilinear",
    "BilinearSettings",
    "GlobalOperator",
    "Jafar",
    "JafarSettings",
    "LocalOperator",
    "Nearest",
    "NearestSettings",
    "PixelFeatures",
    "PixelOperator",
    "Upsampler",
]
