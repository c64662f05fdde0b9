"""What was measured of a map, as one record: plain containers that JSON takes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapsr.geo.ground import EQUAL_AREA
from mapsr.measure.areas import Areas, SureAreas, Sureness, ZoneAreas
from mapsr.measure.joint import Joint
from mapsr.measure.labels import Labels

SEVERAL = 3.0
"""The map has "several times" the product's area of a class from here on."""
_LITTLE = 1e-3
"""Classes of a smaller share of the ground are not warned of."""

Record = dict[str, Any]
"""Plain containers."""


def areas_record(
    areas: Areas, labels: Labels, product: Labels | None, sureness: Sureness | None
) -> Record:
    """What was measured, for JSON.

    Args:
        areas: measured of them.
        labels: the map.
        product: that it was held against.
        sureness: where the map says how sure it is.

    Returns:
        Keys ``areas``, ``product``, ``confidence``, ``warnings`` and, with zones, ``zones``; what
        is not known is None.
    """
    names = labels.legend.names
    record: Record = {
        "areas": _classes(areas.joint, names, with_product=product is not None),
        "product": None if product is None else _agreement(areas.joint, product, names),
        "confidence": None
        if sureness is None or areas.sure is None
        else _confidence(areas.sure, sureness, names),
        "warnings": [] if product is None else product_warnings(areas.joint, names),
    }
    if areas.zones:
        record["zones"] = [_zone(one, names, product is not None) for one in areas.zones]
    return record


def product_warnings(joint: Joint, names: Sequence[str]) -> list[str]:
    """A sentence for each class of which the map has several times the product's area.

    Args:
        joint: of the map and the product, both in the map's classes.
        names: of these.
    """
    both = joint.both
    found = []
    for index, name in enumerate(names):
        mapped, given = both[index].sum(), both[:, index].sum()
        if mapped < _LITTLE * both.sum() or mapped < SEVERAL * given or not mapped:
            continue
        times = f"{mapped / given:.1f} times" if given else "though the product has none of"
        of = f"the {given:.2f} ha of the product" if given else "it"
        found.append(
            f"the map has {mapped:.2f} ha of '{name}', {times} {of}: hold it against the image or "
            "a sample before the area is used."
        )
    return found


def _classes(joint: Joint, names: Sequence[str], *, with_product: bool) -> Record:
    mapped, nodata = joint.mapped, float(joint.hectares[-1].sum())
    pixels, share = joint.pixels[:-1].sum(1), _per_cent(mapped, mapped.sum())
    rows: list[Record] = [
        {
            "class": name,
            "pixels": int(pixels[index]),
            "hectares": round(float(mapped[index]), 4),
            "per_cent": share[index],
        }
        for index, name in enumerate(names)
    ]
    if with_product:
        for row, more in zip(rows, _beside(joint), strict=True):
            row |= more
    return {
        "measured": f"on the ellipsoid of WGS 84 ({EQUAL_AREA})",
        "mapped_hectares": round(float(mapped.sum()), 4),
        "nodata_hectares": round(nodata, 4),
        "classes": rows,
    }


def _beside(joint: Joint) -> list[Record]:
    """Of each class: the product's area where both have a class, and how far they agree."""
    both = joint.both
    mapped, given, agreed = both.sum(1), both.sum(0), np.diagonal(both)
    share, of_map, of_product = (
        _per_cent(given, both.sum()),
        _per_cent(agreed, mapped),
        _per_cent(agreed, given),
    )
    return [
        {
            "hectares_compared": round(float(mapped[index]), 4),
            "product_hectares": round(float(given[index]), 4),
            "product_per_cent": share[index],
            "times_product": round(float(mapped[index] / given[index]), 3)
            if given[index]
            else None,
            "map_that_agrees_per_cent": of_map[index],
            "product_that_agrees_per_cent": of_product[index],
        }
        for index in range(len(mapped))
    ]


def _agreement(joint: Joint, product: Labels, names: Sequence[str]) -> Record:
    both = joint.both
    (agreed,) = _per_cent(np.array([np.diagonal(both).sum()]), both.sum())
    return {
        "files": [str(path) for path in product.tiles.paths],
        "legend": product.source.name,
        "crosswalk": None if product.crosswalk is None else product.crosswalk.name,
        "compared_hectares": round(float(both.sum()), 4),
        "agreement_per_cent": agreed,
        "hectares_by_map_and_product": {
            name: {other: round(float(both[i, j]), 4) for j, other in enumerate(names)}
            for i, name in enumerate(names)
        },
    }


def _confidence(sure: SureAreas, sureness: Sureness, names: Sequence[str]) -> Record:
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(sure.hectares > 0, sure.sums / sure.hectares, np.nan)
    (low,) = _per_cent(np.array([sure.low.sum()]), sure.hectares.sum())
    by_class = _per_cent(sure.low, sure.hectares)
    return {
        "file": str(sureness.path),
        "kind": "probability" if sureness.probable else "best score less the second",
        "low_below": sureness.low if sureness.probable else None,
        "low_per_cent": low if sureness.probable else None,
        "classes": {
            name: {
                "mean": None if np.isnan(means[index]) else round(float(means[index]), 4),
                "low_per_cent": by_class[index] if sureness.probable else None,
            }
            for index, name in enumerate(names)
        },
    }


def _zone(one: ZoneAreas, names: Sequence[str], compared: bool) -> Record:
    return {"zone": one.zone, "attributes": one.tags} | _classes(
        one.joint, names, with_product=compared
    )


def _per_cent(parts: NDArray[np.float64], whole: NDArray[np.float64] | float) -> list[float | None]:
    """Parts of a whole in per cent; None where there is nothing."""
    wholes = np.broadcast_to(np.asarray(whole, np.float64), parts.shape)
    return [
        round(100 * float(part / of), 3) if of > 0 else None
        for part, of in zip(parts, wholes, strict=True)
    ]


def shown_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> list[str]:
    """Rows of a record as lines of text, columns under their titles.

    Args:
        rows: of the record.
        columns: title of each column by key of the rows; those that no row has are left out.
    """
    columns = {key: title for key, title in columns.items() if any(key in row for row in rows)}
    cells = [list(columns.values())]
    cells += [[_shown(row.get(key)) for key in columns] for row in rows]
    widths = [max(len(one[index]) for one in cells) for index in range(len(columns))]
    return [
        "  ".join(
            text.ljust(width) if index == 0 else text.rjust(width)
            for index, (text, width) in enumerate(zip(one, widths, strict=True))
        ).rstrip()
        for one in cells
    ]


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
