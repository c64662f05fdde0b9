"""The STAC item of a map: which files lie beside it, and what they hold."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import mapsr
from mapsr.geo import read_grid
from mapsr.geo.stac_items import COG, Span, StacAsset, write_item
from mapsr.legends import NODATA, Legend
from mapsr.mapping.assembly import output_paths
from mapsr.mapping.jobs import MapJob

_TITLES = {
    "map": "Land cover",
    "mmu": "Land cover with a minimum mapping unit",
    "confidence": "How sure the map is of a pixel's class",
    "scores": "Score of each class",
    "product_error": "Probability that the product's class is wrong",
    "composition": "What each class of the product holds by the map",
    "vectors": "Patches of the map as polygons",
    "record": "Areas of the classes, and how the map was made",
}


def write_map_item(
    job: MapJob,
    derived: Mapping[str, Path],
    times: Sequence[Span],
    made: datetime,
    *,
    product_error: bool = False,
) -> None:
    """Write the STAC item of a map.

    Args:
        job: that made the map.
        derived: what is made of the map besides, by key of the settings; the item is "stac".
        times: when the images were taken, as far as that is known.
        made: when the map was made.
        product_error: whether the report on the product was asked for.

    Raises:
        ConfigError: pystac is not installed.
        RasterError: the item can't be written.
    """
    assets = _assets(job, derived) | (_report(job.out) if product_error else {})
    facts = {
        "title": f"{_TITLES['map']}: {job.legend.title}",
        "mapsr:version": mapsr.__version__,
        "mapsr:job": job.hash,
        "mapsr:datetime_of": "images" if times else "run",
    }
    write_item(derived["stac"], read_grid(job.out), assets, times, made, facts)


def _assets(job: MapJob, derived: Mapping[str, Path]) -> dict[str, StacAsset]:
    out, found = job.out, {"map": _labels("map", job.out, job.legend)}
    if "mmu" in derived:
        found["mmu"] = _labels("mmu", derived["mmu"], job.legend)
    paths = output_paths(out, job.raster.outputs)
    for output in job.raster.outputs:
        if output.layer == "map" and output.kind != "labels":
            facts = {"data_type": output.dtype, "nodata": "nan"}
            found[output.shown] = _raster(output.shown, paths[output.key], facts)
    if "vectors" in derived:
        kind = "application/geopackage+sqlite3"
        found["vectors"] = StacAsset(derived["vectors"], _TITLES["vectors"], kind, ("data",))
    record = out.with_name(f"{out.stem}_record.json")
    found["record"] = StacAsset(record, _TITLES["record"], "application/json", ("metadata",))
    return found


def _report(out: Path) -> dict[str, StacAsset]:
    """What is said of the product, as far as it is there: none is where no product is."""
    layer = out.with_name(f"{out.stem}_product_error{out.suffix}")
    table = out.with_name(f"{out.stem}_composition.csv")
    if not (layer.exists() and table.exists()):
        return {}
    facts = {"data_type": "float32", "nodata": "nan"}
    composition = StacAsset(table, _TITLES["composition"], "text/csv", ("metadata",))
    return {
        "product_error": _raster("product_error", layer, facts),
        "composition": composition,
    }


def _labels(key: str, path: Path, legend: Legend) -> StacAsset:
    facts = {"data_type": "uint8", "nodata": NODATA}
    return StacAsset(path, _TITLES[key], COG, ("data",), legend, facts)


def _raster(key: str, path: Path, facts: Mapping[str, object]) -> StacAsset:
    return StacAsset(path, _TITLES[key], COG, ("data",), None, facts)
