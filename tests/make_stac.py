"""Writes catalogues of STAC as others write them: plain JSON, without pystac."""

import json
from pathlib import Path

TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def item(folder: Path, name: str, image: str | None = None) -> Path:
    """Write NAME.json with two rasters and a picture, and only.json with one raster."""
    plain = name.replace("/", "_")
    folder.mkdir(parents=True, exist_ok=True)
    assets = {
        "image": {"href": image or f"./{plain}.tif", "type": TIFF, "roles": ["data"]},
        "nir": {"href": "./nir.tif", "type": TIFF, "roles": ["data"]},
        "thumb": {"href": "./thumb.png", "type": "image/png", "roles": ["thumbnail"]},
    }
    content = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": {"type": "Point", "coordinates": [-80.0, 37.0]},
        "bbox": [-80.0, 37.0, -80.0, 37.0],
        "properties": {"datetime": "2021-06-01T00:00:00Z"},
        "links": [],
        "assets": assets,
    }
    path = folder / f"{plain}.json"
    path.write_text(json.dumps(content))
    only = content | {"assets": {key: assets[key] for key in ("image", "thumb")}}
    (folder / "only.json").write_text(json.dumps(only))
    return path


def catalogue(folder: Path, names: list[str]) -> Path:
    """Write a collection with an item in a folder of its own for each name."""
    links = []
    for name in names:
        plain = name.replace("/", "_")
        item(folder / plain, name)
        links.append({"rel": "item", "href": f"./{plain}/{plain}.json"})
    content = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": "all",
        "description": "all",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[-80.0, 37.0, -80.0, 37.0]]},
            "temporal": {"interval": [["2021-06-01T00:00:00Z", None]]},
        },
        "links": links,
    }
    path = folder / "collection.json"
    path.write_text(json.dumps(content))
    return path
