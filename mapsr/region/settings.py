"""What `mapsr map` takes."""

from collections.abc import Collection
from dataclasses import dataclass

from mapsr.errors import ConfigError, require_range
from mapsr.geo.places import Place
from mapsr.mapping.settings import FitAndMapSettings
from mapsr.measure.unit import MinimumUnit
from mapsr.methods.fitted import describe_fitted
from mapsr.methods.parts import MethodParts, adjustable_groups, part_names
from mapsr.paths import local_path
from mapsr.settings import MISSING, Plain, aside

_MOST_BANDS = 10_000


@dataclass(frozen=True, kw_only=True)
class MapSettings(FitAndMapSettings):
    """Everything that `mapsr map` takes."""

    image: str = MISSING
    """A raster (a VRT is one), a pattern such as tiles/*.tif, or a CSV list (column image_fn); also
    an address (https://, s3://, gs://, az://), or the .json of a STAC item, collection or
    catalogue."""
    out: str = MISSING
    """The map to write; the folder of the maps where image names several."""
    fitted: str | None = None
    """A fitted method: the folder of a finished run or of maps, or a file."""
    coarse: str | None = None
    """The coarse product of the area: without fitted=, the method is fitted on it first, as the
    groups say; with it, the map is made with the product, where the method was fitted for that.
    Also an address, or the .json of a STAC item."""
    image_asset: str | None = None
    """Key of the asset of STAC items that is the image; null: their only raster."""
    coarse_asset: str | None = None
    """Key of the asset of the STAC item that is the product; null: its only raster."""
    mosaic: bool = False
    """One map over all images, on the grid of the first, rather than one of each."""
    confidence: bool = False
    """Also write OUT_confidence.tif: the best class's probability, where the method gives
    probabilities; else its score less the second best's."""
    scores: bool = False
    """Also write OUT_scores.tif: every class's score."""
    product_error: bool = False
    """Also write OUT_product_error.tif, the probability that a pixel is not of the class that the
    coarse product gives it, and OUT_composition.csv, what each class of the product really holds;
    with scores=true, and a method that reads the product."""
    window: str | None = None
    """Map a part alone, as it is in the map of all: ROW,COLUMN,HEIGHT,WIDTH in pixels, or
    LEFT,BOTTOM,RIGHT,TOP,CRS in coordinates of EPSG:CODE, or "map" for the image's own."""
    aoi: str | None = None
    """Map what lies in polygons alone, as it is in the map of all: FILE, FILE|layername=LAYER."""
    mmu: str | None = None
    """Also write OUT_mmu.tif, in which no patch is smaller than a minimum mapping unit: 0.25ha or
    40px; null: none."""
    vectors: bool = False
    """Also write OUT.gpkg, the patches of the map (with mmu=, of that) as polygons."""
    stac: bool = False
    """Also write OUT.json, a STAC item of the map and what lies beside it."""
    low_confidence: float = 0.5
    """Below it a probability counts as low in the record beside a map."""
    scale: float | None = None
    """Raw image value that becomes 1; null: as the method was fitted, 255 for bytes."""
    bands: int | None = None
    """How many leading bands to read; null: as the method was fitted, else all."""
    overwrite: bool = False
    """Replace maps that are there."""
    restart: bool = False
    """Give up the beginning of a map that was made from other inputs or settings."""
    name: str = aside("map")
    """Name that a method's preset gives; maps do not use it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mmu:
            MinimumUnit.read(self.mmu)
        require_range(self.low_confidence, "low_confidence", high=1.0)
        if self.scale is not None:
            require_range(self.scale, "scale", low=1e-6, high=1e12)
        if self.bands is not None:
            require_range(self.bands, "bands", low=1, high=_MOST_BANDS)

    @property
    def place(self) -> Place | None:
        """What is mapped of an image; None: all."""
        return Place(self.window, self.aoi) if self.window or self.aoi else None

    def check_source(self) -> None:
        """Check that there is a method, or something to fit one on.

        Raises:
            ConfigError: there is neither.
        """
        lists = self.image.lower().endswith(".csv")
        if not self.fitted and not self.coarse and not lists:
            raise ConfigError(
                "Give fitted=RUN (a finished run, or a fitted file), or coarse=PRODUCT "
                "legend.coarse=NAME to fit a method first."
            )


def check_given(fitted: Plain, source: str, given: Collection[str]) -> None:
    """Refuse what can't be changed any more once a method is fitted.

    Args:
        fitted: settings that the method was fitted with, as its file says them.
        source: what the user called it.
        given: keys that the user set.

    Raises:
        ConfigError: one of them has no say any more, or the method is not known here.
    """
    parts = MethodParts.from_plain(fitted)
    fixed = {*part_names(), "legend", "experiment", "seed", "recipe"}
    fixed -= set(parts.method.adjustable)
    if "coarse" in given and not parts.gives_probabilities:
        raise ConfigError(
            "fitted= and coarse= are both given: the method is fitted already, and does not read "
            "the product where maps are made. Leave one out."
        )
    for key in given:
        if key.partition(".")[0] in fixed:
            raise ConfigError(
                f"{key}= has no say with fitted={source}: the method was fitted with its own. Fit "
                "another one with coarse=, or with mapsr run."
            )


def fitted_settings(source: str) -> Plain:
    """The settings that a method was fitted with, as its file says them.

    Raises:
        FittedError: it can't be read.
    """
    settings: Plain = describe_fitted(local_path(source, "fitted"))["settings"]
    return settings


def as_fitted(config: Plain, fitted: Plain, given: Collection[str]) -> Plain:
    """Give groups that may be changed the values of the fit, but for keys that the user set.

    Args:
        config: of the command, as plain containers.
        fitted: settings that the method was fitted with, as its file says them.
        given: keys that the user set; a group among them is chosen as a whole.
    """
    kept: Plain = {}
    for name in (*adjustable_groups(fitted), "windows"):
        if fitted.get(name) is None:  # of an earlier version, or idle
            kept |= {} if name in given else {name: None}
        elif name not in given:
            keys = (key.partition(".")[2] for key in given if key.startswith(f"{name}."))
            changes = {key: config[name][key] for key in keys if key in config[name]}
            kept[name] = fitted[name] | changes
    return config | kept
