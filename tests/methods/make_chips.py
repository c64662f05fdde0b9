"""Draws chips of a river between fields, with coarse labels that are wrong along its banks."""

import torch

from mapsr.data import Chip
from mapsr.geo import Window
from mapsr.legends import Crosswalk, LandClass, Legend

NAMES = ("water", "field")
# of the classes and of their pixels
COLOURS = torch.tensor([[0.15, 0.25, 0.4], [0.7, 0.6, 0.3]])
CELL = 10


def legend(name, *codes):
    classes = tuple(LandClass(code, f"{name} {code}", (code, 0, 0)) for code in codes)
    return Legend(name, name, "drawn", classes)


def crosswalk():
    """Product codes 5, 6, 7, 9: field, water, field, left out."""
    target = Legend(
        "toy", "toy", "drawn", tuple(LandClass(i, n, (i, 0, 0)) for i, n in enumerate(NAMES))
    )
    return Crosswalk("toy", legend("product", 5, 6, 7, 9), target, (1, 0, 1, 255))


def make_chip(number, size=(41, 58), scene="river"):
    """A chip whose river runs slantwise; the coarse product has cells of 10 px and a shift."""
    height, width = size
    generator = torch.Generator().manual_seed(500 + number)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    bank = width // 2 + number + rows // 2 - height // 4
    truth = (columns >= bank).to(torch.uint8)  # (H, W)
    image = COLOURS[truth.long()].permute(2, 0, 1)
    image = (image + 0.04 * torch.randn(image.shape, generator=generator)).clamp(0, 1)
    shifted = truth.roll((3, 4), (0, 1))
    cells = shifted[CELL // 2 :: CELL, CELL // 2 :: CELL]
    coarse = cells.repeat_interleave(CELL, 0).repeat_interleave(CELL, 1)
    padded = torch.zeros(size, dtype=torch.uint8)
    padded[: len(coarse), : coarse.shape[1]] = coarse[:height, :width]
    # product classes: fields are class 0 above and 2 below, water is 1; a corner is left out
    product = torch.where(padded == 0, 1, torch.where(rows < height // 2, 0, 2)).to(torch.uint8)
    product[:CELL, -CELL:] = 3
    product[-CELL:, :CELL] = 255
    valid = torch.ones(size, dtype=torch.bool)
    valid[:4, :6] = False
    window = Window(0, number * width, height, width)
    return Chip(scene, window, torch.where(valid, image, 0.0), valid, product, truth)
