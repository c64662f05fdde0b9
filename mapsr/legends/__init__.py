"""Legends: the classes of products, their colours, and crosswalks between them."""

from mapsr.legends.crosswalk import Crosswalk
from mapsr.legends.legend import MASKED, NODATA, LandClass, Legend
from mapsr.legends.library import (
    crosswalk_names,
    legend_names,
    load_crosswalk,
    load_legend,
)
from mapsr.legends.settings import Legends, LegendSettings
from mapsr.legends.shares import MOST_UNKNOWN, CodeShare, code_table, unknown_codes
from mapsr.legends.soft import SoftCrosswalk, load_soft_crosswalk, soft_names, soften

__all__ = [
    "MASKED",
    "MOST_UNKNOWN",
    "NODATA",
    "CodeShare",
    "Crosswalk",
    "LandClass",
    "Legend",
    "LegendSettings",
    "Legends",
    "SoftCrosswalk",
    "code_table",
    "crosswalk_names",
    "legend_names",
    "load_crosswalk",
    "load_legend",
    "load_soft_crosswalk",
    "soft_names",
    "soften",
    "unknown_codes",
]
