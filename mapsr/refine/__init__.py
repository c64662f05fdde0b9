"""Refinement of scores: superpixels, their graph, and propagation over it."""

from mapsr.refine.refine import RefineSettings, refine

__all__ = ["RefineSettings", "refine"]
