"""Draws small vector files."""

from pathlib import Path

import numpy as np
import pyogrio
import shapely


def write_vectors(
    path: Path, layer: str, crs: str | None, geometries: list, append=False, **tags: list
) -> Path:
    """Write geometries (shapely, WKB or None) with text attributes."""
    wkb = [
        one if one is None or isinstance(one, bytes) else shapely.to_wkb(one) for one in geometries
    ]
    columns = [np.array(values, object) for values in tags.values()]
    pyogrio.raw.write(
        path,
        np.array(wkb, object),
        columns,
        list(tags),
        layer=layer,
        crs=crs,
        geometry_type="Unknown",
        append=append,
    )
    return path
