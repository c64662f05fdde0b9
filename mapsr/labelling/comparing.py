"""From files and settings to a comparison of maps: against a truth, each other, inside cities."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path

from mapsr.errors import ConfigError
from mapsr.geo import Grid, read_class_names, tiles
from mapsr.geo.boundaries import Boundaries, open_boundaries, read_boundaries
from mapsr.geo.patterns import files_of
from mapsr.labelling.builtin import values_of
from mapsr.labelling.comparison import Comparison, compare, require_truth
from mapsr.labelling.patches import OpenProduct, open_products, require_overlap
from mapsr.labelling.products import Product, RasterSource
from mapsr.labelling.registry import load_registry
from mapsr.legends import Legend, load_legend
from mapsr.progress import Progress

_WINDOW_PX = 1024
"""Side of the windows that are compared one at a time."""
ITSELF = "-"
"""Legend of a map that holds the names of its classes itself, as those of mapsr do."""


@dataclass(frozen=True)
class CompareSettings:
    """What is compared with what.

    Raises:
        ConfigError: there is nothing to compare, or nothing to compare it with, or the settings
            contradict each other.
    """

    maps: tuple[str, ...] = ()
    """Paths of maps, or patterns with ``*``, ``?`` or ``[``: the tiles of one map."""
    legends: tuple[str, ...] = ()
    """Legend of each map, or one for all: a name, a .yaml file, or "-": the map says it itself."""
    registry: str = ""
    """Registry of products that are compared too: a name or a .yaml file."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """Path of a product of the registry, by its name."""
    truth: str = ""
    """Path or pattern of the rasters that are taken as true; "": there are none."""
    truth_legend: str = ITSELF
    """Legend of the truth."""
    target: str = ""
    """Legend that all are carried to: a name or a .yaml file; "": the registry's."""
    crosswalk: str = "paraformer"
    """Which classes of the target those of a legend stand for, see mapsr.legends."""
    cities: str = ""
    """Vector file of boundaries; "": there is none."""
    cities_layer: str = ""
    """Layer in it; "": its only one."""
    cities_name: str = "name"
    """Column that names a city."""
    cities_group: str = ""
    """Column of what it belongs to, as its region; "": nothing."""

    def __post_init__(self) -> None:
        if not self.maps and not self.registry:
            raise ConfigError("There is nothing to compare, expected maps, or registry=FILE.")
        if not self.truth and not self.cities:
            raise ConfigError(
                "There is nothing to compare with, expected truth=RASTER, cities=VECTORS or both."
            )
        if len(self.legends) not in (0, 1, len(self.maps)):
            raise ConfigError(
                f"legends= names {len(self.legends)} for {len(self.maps)} maps, expected one for "
                f"each in their order ('{ITSELF}': the map says it itself), or one for all."
            )
        if not self.target and not self.registry:
            raise ConfigError(
                "target= is missing, expected the legend that all maps are compared in, as "
                "target=ecovision8."
            )

    def legend_of(self, number: int) -> str:
        """Legend of one of the maps."""
        return ITSELF if not self.legends else self.legends[number % len(self.legends)]


def run_comparison(
    settings: CompareSettings, progress: Progress, cache: Path | None = None
) -> Comparison:
    """Compare maps and products; memory: that of a window, whatever the size of the rasters.

    Pixels of the truth are counted, each as often as its files hold it; without a truth those of
    the first map or raster product.

    Args:
        settings: what with what.
        progress: shows the work.
        cache: folder of converted vector files; None: the user's.

    Raises:
        ConfigError: a map's legend is not known or does not fit, or settings contradict each other.
        DataError: a map does not meet the truth, or the truth names no class.
        LegendError: there is no such legend, or it does not fit.
        RasterError: a file can't be read.
    """
    products, target = _products(settings)
    opened = open_products(products, cache)
    truth = _open_truth(settings, target)
    grids = _grids(opened, truth)
    require_overlap(opened, grids)
    boundaries = _boundaries(settings, grids, cache)
    work = [
        (grid, window, areas)
        for grid, areas in zip(grids, boundaries, strict=True)
        for window in tiles(grid.height, grid.width, _WINDOW_PX)
    ]

    def parts() -> Iterator[Comparison]:
        for grid, window, areas in progress.track(work, "windows", len(work)):
            yield compare(opened, target, grid, window, truth, areas)

    whole = reduce(add, parts())
    if truth is not None:
        require_truth(whole)
    return whole


def raster_source(
    paths: Sequence[Path], legend: str, target: Legend, crosswalk: str
) -> RasterSource:
    """Say what the codes of a map stand for.

    Args:
        paths: its files.
        legend: a legend of the package or a YAML file; "-": the class names that the first file
            holds, as every map of mapsr does, whose codes are their places.
        target: legend to carry it to.
        crosswalk: preset of mapsr.legends.

    Raises:
        ConfigError: the file holds no class names, or names that the target legend has not.
        LegendError: there is no such legend or crosswalk, or it does not fit.
        RasterError: the file can't be read.
    """
    if legend != ITSELF:
        known = load_legend(legend)
        if set(known.names) <= set(target.names):
            named = zip(known.codes, known.names, strict=True)
            values: dict[int, tuple[str, ...]] = {code: (name,) for code, name in named}
        else:
            values = values_of(known, target, crosswalk)
        return RasterSource(tuple(paths), values, known.nodata - set(values))
    names = read_class_names(paths[0])
    if not names or not set(names) <= set(target.names):
        got = f"has the classes {', '.join(names)}" if names else "holds no class names"
        raise ConfigError(
            f"{paths[0]} {got}, expected classes of legend '{target.name}' "
            f"({', '.join(target.names)}): name its legend with legends= (of the truth: "
            "truth_legend=), or choose another target=."
        )
    return RasterSource(tuple(paths), {code: (name,) for code, name in enumerate(names)})


def _with_registry(settings: CompareSettings) -> tuple[tuple[Product, ...], Legend]:
    """Products of the registry, and the legend that all are carried to."""
    registry = load_registry(settings.registry, settings.paths) if settings.registry else None
    target = load_legend(settings.target) if settings.target else None
    if registry is None:
        assert target is not None  # CompareSettings asks for one of the two
        return (), target
    if target is not None and target.names != registry.target.names:
        raise ConfigError(
            f"target={settings.target} has other classes than legend '{registry.target.name}' of "
            f"registry '{registry.name}', expected the same: leave target= out."
        )
    return registry.products, registry.target


def _products(settings: CompareSettings) -> tuple[list[Product], Legend]:
    """Maps first, then the products of the registry; each under a name of its own."""
    registered, target = _with_registry(settings)
    taken = [product.name for product in registered]
    products = []
    for number, text in enumerate(settings.maps):
        paths = files_of(text, "MAP")
        legend = settings.legend_of(number)
        source = raster_source(paths, legend, target, settings.crosswalk)
        taken.append(_name(paths, text, taken))
        title = legend if legend != ITSELF else ""
        products.append(Product(taken[-1], source, title=title))
    return [*products, *registered], target


def _name(paths: Sequence[Path], text: str, taken: Sequence[str]) -> str:
    """Stem of a file, or of what the pattern begins with; with its folder or a number if taken."""
    stem = paths[0].stem if len(paths) == 1 else Path(text).stem.strip("*?[]_-. ")
    folder = paths[0].absolute().parent.name
    for name in (stem or folder, f"{folder}/{stem or '*'}"):
        if name not in taken:
            return name
    return next(
        name for number in range(2, len(taken) + 3) if (name := f"{stem}#{number}") not in taken
    )


def _open_truth(settings: CompareSettings, target: Legend) -> OpenProduct | None:
    """The truth as a product whose codes stand for one class each.

    Raises:
        ConfigError: a code stands for several classes.
    """
    if not settings.truth:
        return None
    paths = files_of(settings.truth, "truth")
    source = raster_source(paths, settings.truth_legend, target, settings.crosswalk)
    for code, names in source.values.items():
        if len(names) > 1:
            raise ConfigError(
                f"Code {code} of the truth stands for {', '.join(names)} in '{target.name}', "
                "expected one class or none: give the truth a legend (.yaml) of your own, or "
                "choose a target that it can tell apart."
            )
    return open_products([Product("truth", source)])[0]


def _grids(products: Sequence[OpenProduct], truth: OpenProduct | None) -> tuple[Grid, ...]:
    """The grids whose pixels are counted."""
    for opened in (truth, *products):
        if opened is not None and opened.tiles is not None:
            return opened.tiles.grids
    raise ConfigError(
        "There is neither a truth nor a raster among what is compared, expected one: its pixels "
        "are what is counted."
    )


def _boundaries(
    settings: CompareSettings, grids: Sequence[Grid], cache: Path | None
) -> list[Boundaries | None]:
    """The cities on each grid."""
    if not settings.cities:
        return [None] * len(grids)
    name, group = settings.cities_name, settings.cities_group or None
    layer = open_boundaries(
        Path(settings.cities), settings.cities_layer or None, name, group, cache
    )
    return [read_boundaries(layer, name, group, grid) for grid in grids]
