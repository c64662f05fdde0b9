"""The six products of Table 3 as prompts, drawn or from the reference."""

import numpy as np

from mapsr.labelling.prompts import PatchPrompts, Prompt
from mapsr.legends import load_legend

LEGEND = load_legend("ecovision8")
PRODUCTS = ("cbf", "ucs", "hi_ulcm", "sinolc1", "gisa", "osm")
WEIGHTS = dict(zip(PRODUCTS, (3, 3, 2, 1, 1, 1), strict=True))
LEVELS = dict(zip(PRODUCTS, (1, 1, 2, 3, 3, 3), strict=True))
# class codes of the target by code of the product, Table 2
VALUES = {
    "cbf": {1: [1]},
    "ucs": {1: [2]},
    "hi_ulcm": {1: [7], 2: [6, 8], 3: [5], 4: [2, 8], 5: [1], 6: [4], 7: [3]},
    "sinolc1": {1: [3], 2: [5], 3: [6], 4: [6], 5: [8], 6: [1], 7: [2], 9: [4]},
    "gisa": {1: [1, 3, 7]},
}


def patch_of(codes: dict[str, np.ndarray], osm: np.ndarray) -> PatchPrompts:
    """Prompts from the codes of five rasters and the masks (8, H, W) of OpenStreetMap."""
    prompts = []
    for bit, name in enumerate(PRODUCTS):
        for target in range(8):
            if name == "osm":
                mask = osm[target].astype(bool)
            else:
                voting = [code for code, classes in VALUES[name].items() if target + 1 in classes]
                mask = np.isin(codes[name], voting)
                if not voting:
                    continue
            prompts.append(Prompt(bit, target, WEIGHTS[name], mask))
    return PatchPrompts.of(osm.shape[1:], PRODUCTS, prompts)


def random_patch(generator: np.random.Generator, size: tuple[int, int]) -> PatchPrompts:
    """Codes and masks at random, mostly of a class that a pixel truly is."""
    truth = generator.integers(1, 9, size)
    codes = {}
    for name in PRODUCTS[:-1]:
        code = np.zeros(size, int)
        for value, classes in VALUES[name].items():
            code[np.isin(truth, classes) & (generator.random(size) < 0.7)] = value
        codes[name] = code
    classes = np.arange(1, 9)[:, None, None]
    osm = (truth == classes) & (generator.random((8, *size)) < 0.5)
    osm |= generator.random((8, *size)) < 0.05
    return patch_of(codes, osm)


def to_index(codes: np.ndarray) -> np.ndarray:
    """Codes 1 to 8, 0 undetermined, as class indices, 255 undetermined or ignored."""
    return np.where((codes == 0) | (codes == 255), 255, codes - 1).astype(np.uint8)
