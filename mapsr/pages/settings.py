"""What `mapsr page` takes."""

from dataclasses import dataclass

from mapsr.errors import require_range


@dataclass(frozen=True, kw_only=True)
class PageSettings:
    """What `mapsr page` takes."""

    source: str
    """The folder of a finished run, or a map."""
    out: str | None = None
    """The page; null: page.html in the run's folder, MAP.html beside a map."""
    image: str | None = None
    """Image of a map: a raster, a pattern or a CSV list; null: as the map's record says it."""
    product: str | None = None
    """Coarse product that is shown beside a map; null: as the map's record says it."""
    product_legend: str | None = None
    """Legend of the product; null: the one that the method was fitted on."""
    crosswalk: str | None = None
    """Which class of the map each class of the product stands for; null: as the map was made."""
    scenes: int = 4
    """How many scenes of a run are shown; each takes up to about 8 MB."""

    def __post_init__(self) -> None:
        require_range(self.scenes, "scenes", low=1, high=100)
