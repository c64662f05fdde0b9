"""Upsampling of tokens to pixels, as a linear operator that is never made dense."""

from mapsr.upsample.anyup import AnyUp, AnyUpSettings
from mapsr.upsample.bilateral import Bilateral, BilateralSettings
from mapsr.upsample.enlarged import EnlargedOperator, carried
from mapsr.upsample.features import PixelFeatures
from mapsr.upsample.fixed import Bilinear, BilinearSettings, Nearest, NearestSettings
from mapsr.upsample.global_attention import GlobalOperator
from mapsr.upsample.grouped import GroupedOperator
from mapsr.upsample.jafar import Jafar, JafarSettings
from mapsr.upsample.local import LocalOperator
from mapsr.upsample.naf import Naf, NafSettings
from mapsr.upsample.operator import PixelOperator
from mapsr.upsample.upsampler import Upsampler

__all__ = [
    "AnyUp",
    "AnyUpSettings",
    "Bilateral",
    "BilateralSettings",
    "Bilinear",
    "BilinearSettings",
    "EnlargedOperator",
    "GlobalOperator",
    "GroupedOperator",
    "Jafar",
    "JafarSettings",
    "LocalOperator",
    "Naf",
    "NafSettings",
    "Nearest",
    "NearestSettings",
    "PixelFeatures",
    "PixelOperator",
    "Upsampler",
    "carried",
]
