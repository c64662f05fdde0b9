"""Labels voted out of many historical products: EcoVision's initial and expanded labelling.

Stage 1: ``load_registry`` reads which products there are, ``make_plan`` settles how far each is
trusted, ``open_products`` and ``read_patch`` turn them into prompts, ``vote`` labels a patch. Stage
2: ``revote`` adds the vote of a model that learnt from the labels, ``fill_holes`` ends it.
``count_patch`` says what came of it.
"""

from mapsr.labelling.builtin import preset_names, registry_names
from mapsr.labelling.expansion import fill_holes, model_weight, revote
from mapsr.labelling.levels import (
    Claim,
    Standing,
    VotingSettings,
    derive_rule,
    given_rule,
    suggest_level,
    unreachable,
)
from mapsr.labelling.patches import (
    OpenProduct,
    mistyped_tags,
    open_products,
    read_patch,
    require_overlap,
)
from mapsr.labelling.plan import Plan, make_plan
from mapsr.labelling.product_scores import ProductHits
from mapsr.labelling.products import Layer, Product, RasterSource, Tag, VectorSource
from mapsr.labelling.prompts import PatchPrompts, Prompt
from mapsr.labelling.registry import Registry, load_registry
from mapsr.labelling.statistics import Statistics, count_patch
from mapsr.labelling.voting import Labels, Rule, confidences, vote

__all__ = [
    "Claim",
    "Labels",
    "Layer",
    "OpenProduct",
    "PatchPrompts",
    "Plan",
    "Product",
    "ProductHits",
    "Prompt",
    "RasterSource",
    "Registry",
    "Rule",
    "Standing",
    "Statistics",
    "Tag",
    "VectorSource",
    "VotingSettings",
    "confidences",
    "count_patch",
    "derive_rule",
    "fill_holes",
    "given_rule",
    "load_registry",
    "make_plan",
    "mistyped_tags",
    "model_weight",
    "open_products",
    "preset_names",
    "read_patch",
    "registry_names",
    "require_overlap",
    "revote",
    "suggest_level",
    "unreachable",
    "vote",
]
