"""Statistics as plain arrays: kept with each finished patch, and with each finished image."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import RasterError
from mapsr.evaluation import Confusion
from mapsr.files import whole_file
from mapsr.labelling.product_scores import ProductHits
from mapsr.labelling.statistics import Statistics

Arrays = dict[str, NDArray[Any]]
_NUMBERS = ("patches", "bare_patches", "pixels", "contested")
_PLANES = ("covered", "said", "both", "agreed", "trusted", "backed", "repaired", "skipped")
_HITS = ("truth", "right", "wrong")


def pack(statistics: Statistics) -> Arrays:
    """Return statistics as int64 arrays by name; names of products and classes are left out."""
    arrays: Arrays = {name: np.asarray(getattr(statistics, name)) for name in _PLANES}
    arrays["numbers"] = np.array([getattr(statistics, name) for name in _NUMBERS], np.int64)
    arrays["confusion"] = statistics.confusion.counts
    arrays |= {f"hits_{name}": getattr(statistics.hits, name) for name in _HITS}
    rows = [
        (product, code, pixels)
        for product, codes in enumerate(statistics.unmapped)
        for code, pixels in sorted(codes.items())
    ]
    arrays["unmapped"] = np.array(rows, np.int64).reshape(-1, 3)
    return arrays


def unpack(
    arrays: Mapping[str, NDArray[Any]], products: tuple[str, ...], classes: tuple[str, ...]
) -> Statistics:
    """Return the statistics that ``pack`` made arrays of; other arrays are passed over.

    Args:
        arrays: by name.
        products: names.
        classes: names.
    """
    unmapped = [Counter[int]() for _ in products]
    for product, code, pixels in arrays["unmapped"].tolist():
        unmapped[product][code] = pixels
    values: dict[str, Any] = dict(zip(_NUMBERS, arrays["numbers"].tolist(), strict=True))
    values |= {name: arrays[name] for name in _PLANES}
    return Statistics(
        products=products,
        classes=classes,
        **values,
        unmapped=tuple(unmapped),
        confusion=Confusion(arrays["confusion"]),
        hits=ProductHits(*(arrays[f"hits_{name}"] for name in _HITS)),
    )


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_arrays(path: Path) -> Arrays:
    """Read arrays by name.

    Raises:
        RasterError: the file is missing or damaged.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise RasterError(
            f"Can't read {path} ({error}): remove it and the labels beside it, and the same "
            "command makes them again."
        ) from error
