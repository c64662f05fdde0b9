"""What commands show of records: tables of areas."""

from collections.abc import Mapping
from typing import Any

from mapsr.cli.console import say

COLUMNS = {
    "class": "CLASS",
    "hectares": "HECTARES",
    "per_cent": "PER CENT",
    "product_hectares": "PRODUCT",
    "product_per_cent": "PER CENT",
    "times_product": "TIMES",
    "product_that_agrees_per_cent": "AGREES %",
}
"""Titles of what is shown of a class."""


def show_areas(record: "Mapping[str, Any]") -> None:
    """Print the areas of a record, and those of its zones."""
    from mapsr.measure.answer import shown_table

    for line in shown_table(record["areas"]["classes"], COLUMNS):
        say(line)
    if record["product"] is not None:
        say(f"agrees with the product on {_per_cent(record['product']['agreement_per_cent'])}")
    sure = record["confidence"]
    if sure is not None and sure["low_below"] is not None:
        low = _per_cent(sure["low_per_cent"])
        say(f"probability below {sure['low_below']:g} on {low}")
    for zone in record.get("zones", ()):
        named = ", ".join(str(value) for value in zone["attributes"].values() if value)
        say()
        say(f"zone {zone['zone']}{f': {named}' if named else ''}")
        for line in shown_table(zone["classes"], COLUMNS):
            say(line)


def _per_cent(value: float | None) -> str:
    return "no ground that can be compared" if value is None else f"{value:.1f} % of the ground"
