"""A comparison for people and for files: lines of text, CSV and JSON, all from its one dictionary.

The dictionary is that of ``Comparison.as_dict``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mapsr import quoting
from mapsr.files import write_json, write_text
from mapsr.labelling.cities import SCORES

Plain = Mapping[str, Any]
_NOTHING = "–"


def write_comparison(folder: Path, found: Plain) -> list[Path]:
    """Write comparison.json, products.csv, pairs.csv, and cities.csv and boxes.csv with cities.

    In the CSV files shares and scores are fractions in [0, 1], empty where undefined.

    Args:
        folder: made where it is not there; files of these names are replaced.
        found: see ``Comparison.as_dict``.

    Returns:
        The files.
    """
    tables = {"products.csv": list(product_rows(found)), "pairs.csv": list(pair_rows(found))}
    if "cities" in found:
        tables["cities.csv"] = list(city_rows(found["cities"]))
        tables["boxes.csv"] = list(box_rows(found["cities"]))
    for name, rows in tables.items():
        write_text(folder / name, csv_text(rows))
    write_json(folder / "comparison.json", found)
    return [*(folder / name for name in tables), folder / "comparison.json"]


def csv_text(rows: Sequence[Plain]) -> str:
    """Return rows of the same keys as CSV with a head; numbers in six digits, None as nothing."""
    lines = [
        [f"{one:.6g}" if isinstance(one, float) else one for one in row.values()] for row in rows
    ]
    return quoting.csv_text([list(row) for row in rows[:1]] + lines)


def product_rows(found: Plain) -> Iterator[Plain]:
    """Yield a row for each product and class, or classes that it does not tell apart."""
    for name, product in found["products"].items():
        for group in product["groups"]:
            yield {
                "product": name,
                "classes": " + ".join(group["classes"]),
                **{key: group[key] for key in SCORES},
                **{key: product[key] for key in ("oa", "oa_all", "ratio", "pixels", "covered")},
            }


def pair_rows(found: Plain) -> Iterator[Plain]:
    """Yield a row for each pair of products, with shares of all pixels."""
    for pair in found["pairs"]:
        one, other = pair["products"]
        counts = {key: pair[key] for key in ("both", "agree", "conflict")}
        shares = {f"{key}_share": count / found["pixels"] for key, count in counts.items()}
        yield {"product": one, "other": other, **counts, **shares}


def city_rows(cities: Plain) -> Iterator[Plain]:
    """Yield a row for each product, city and class."""
    for product, of_product in cities["products"].items():
        for city, numbers in of_product["by_city"].items():
            for name in numbers["shares"]:
                yield {
                    "product": product,
                    "city": city,
                    "group": cities["boundaries"][city]["group"],
                    "inside": cities["boundaries"][city]["inside"],
                    "class": name,
                    "pixels": numbers["pixels"][name],
                    "hectares": numbers["hectares"][name],
                    "share": numbers["shares"][name],
                    **{key: numbers[key].get(name) for key in SCORES},
                }


def box_rows(cities: Plain) -> Iterator[Plain]:
    """Yield a row for each product, class and measure that some city has, with its box."""
    for product, of_product in cities["products"].items():
        for name, measures in of_product["boxes"].items():
            for measure, box in measures.items():
                if box is not None:
                    yield {"product": product, "class": name, "measure": measure, **box}


def lines_of(found: Plain) -> Iterator[str]:
    """Yield the comparison as lines of text, percentages throughout."""
    if found["truth"]["pixels"]:
        yield from _against_truth(found)
    yield from _between_products(found)
    if "cities" in found:
        yield ""
        yield from _of_cities(found["cities"])
    for name, of_name in {"the truth": found["truth"], **found["products"]}.items():
        if of_name["unmapped"]:
            codes = ", ".join(f"{code}: {count} px" for code, count in of_name["unmapped"].items())
            yield f"codes without mapping in {name}: {codes}"


def _against_truth(found: Plain) -> Iterator[str]:
    rows = []
    merged = []
    for name, product in found["products"].items():
        cells: dict[str, dict[str, float | None]] = {}
        for group in product["groups"]:
            cells[group["classes"][0]] = group
            if len(group["classes"]) > 1:
                merged.append(f"{name}: {', '.join(group['classes'])} are one class")
        for key, label in zip(SCORES, ("PA", "UA", "F1"), strict=True):
            first = key == SCORES[0]
            totals = [product[one] for one in ("oa", "oa_all", "ratio")] if first else [None] * 3
            own = [_percent(cells.get(one, {}).get(key)) for one in found["classes"]]
            ends = [_percent(one) if first else "" for one in totals]
            rows.append([name if first else "", label, *own, *ends])
    head = ["product", "%", *found["classes"], "OA", "OA, all", "covered"]
    yield from _aligned([head, *rows])
    yield ""
    yield (
        "A product is scored on the classes that it has; OA leaves out what it does not cover, "
        '"OA, all" counts it as wrong.'
    )
    yield from merged
    yield ""


def _between_products(found: Plain) -> Iterator[str]:
    rows = [
        [
            f"{row['product']}, {row['other']}",
            *(_percent(row[f"{key}_share"]) for key in ("both", "agree", "conflict")),
        ]
        for row in pair_rows(found)
    ]
    if rows:
        yield from _aligned([["pair, % of all pixels", "both say", "agree", "conflict"], *rows])


def _of_cities(cities: Plain) -> Iterator[str]:
    for product, of_product in cities["products"].items():
        boxes = of_product["boxes"]
        rows = []
        for name, mean in of_product["mean_shares"].items():
            box = boxes[name]["shares"]
            parts = ("least", "quartile_1", "median", "quartile_3", "greatest")
            spread = [_percent(box[key]) if box else _NOTHING for key in parts]
            numbers = of_product["by_city"].values()
            areas = [one["hectares"][name] for one in numbers]
            total = _NOTHING if None in areas else f"{sum(areas):.1f}"
            rows.append([name, _percent(mean), *spread, total])
        heads = ["mean", "least", "quartile", "median", "quartile", "greatest", "hectares"]
        many = len(of_product["by_city"])
        yield from _aligned([[f"{product}, % of {many} cities", *heads], *rows])
        yield ""
    for city, one in cities["boundaries"].items():
        if one["inside"] is not None and one["inside"] < 0.99:
            yield f"only {_percent(one['inside'])} % of {city} lies on the rasters"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns of text: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells: Iterable[str] = (
            cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
        )
        yield "  ".join([row[0].ljust(widths[0]), *cells]).rstrip()


def _percent(share: float | None) -> str:
    return _NOTHING if share is None else f"{100 * share:.2f}"
