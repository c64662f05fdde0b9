"""What the commands that ask a map take."""

from dataclasses import dataclass

from mapsr.errors import require_range


@dataclass(frozen=True, kw_only=True)
class AreaSettings:
    """What `mapsr areas` takes."""

    map: str
    """A raster of labels."""
    legend: str | None = None
    """Its legend, a name or YAML file; "codes": each code is a class; null: the map says it."""
    product: str | None = None
    """A product that is measured beside it."""
    product_legend: str | None = None
    """Legend of the product; null: the product says it."""
    crosswalk: str = "paraformer"
    """Which class of the map each class of the product stands for."""
    zones: str | None = None
    """Polygons that are measured, too: FILE, or FILE|layername=LAYER."""
    confidence: str | None = None
    """Raster of the map's probabilities; null: MAP_confidence.tif, where it is of the same map."""
    low: float = 0.5
    """Below it a probability counts as low."""
    out: str | None = None
    """JSON file of the record; null: none."""
    csv: str | None = None
    """CSV file of the areas, a row for each class and zone; null: none."""

    def __post_init__(self) -> None:
        require_range(self.low, "low", high=1.0)
