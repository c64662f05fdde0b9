"""Patches, the minimum mapping unit and polygons: as on the whole raster, whatever the strips."""

import json

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from make_labels import ALBERS, HEIGHT, WIDTH, map_file, quarters
from rasterio.crs import CRS
from rasterio.features import shapes
from scipy import ndimage

from mapsr import budgets
from mapsr.cli.main import main
from mapsr.errors import ConfigError
from mapsr.geo import Grid, write_raster
from mapsr.geo.polygons import joined, outlines
from mapsr.measure.patches import find_patches
from mapsr.measure.sieving import _values, sieved
from mapsr.measure.unit import MinimumUnit
from mapsr.progress import Quiet


def speckled(seed, height=HEIGHT, width=WIDTH, classes=3, nodata=0.05):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, (height, width)).astype(np.uint8)
    labels = ndimage.median_filter(labels, 3)
    labels[generator.random(labels.shape) < nodata] = 255
    labels[5:9, 3:20] = 255
    return labels


def grid_of(labels):
    return Grid(ALBERS.crs, ALBERS.transform, *labels.shape)


def patches_of(labels, rows=None):
    def read(window):
        return labels[window.slices]

    return find_patches(read, grid_of(labels), Quiet(), rows), read


def components(labels):
    """Numbers of connected pixels of one class over the whole raster, -1 for nodata."""
    found, count = np.full(labels.shape, -1), 0
    for index in range(3):
        here, number = ndimage.label(labels == index)
        found[here > 0] = here[here > 0] + count - 1
        count += number
    return found, count


@pytest.mark.parametrize("rows", [1, 2, 7, 16, 100])
def test_patches_are_those_of_the_whole_raster(rows):
    labels = speckled(0)
    patches, _ = patches_of(labels, rows)
    whole, count = components(labels)
    assert len(patches) == count
    firsts = [np.flatnonzero(whole.ravel() == number)[0] for number in range(count)]
    order = np.argsort(firsts)
    own = np.argsort(patches.first)
    assert patches.first[own].tolist() == sorted(firsts)
    assert patches.pixels[own].tolist() == [int((whole == order[n]).sum()) for n in range(count)]
    assert patches.classes[own].tolist() == labels.ravel()[sorted(firsts)].tolist()


def slow_sieve(labels, least):
    """The smallest patch goes to its largest neighbour, and everything is looked at again."""
    labels = labels.copy()
    while True:
        numbers, count = components(labels)
        sizes = np.bincount(numbers[numbers >= 0], minlength=count)
        firsts = [int(np.flatnonzero(numbers.ravel() == n)[0]) for n in range(count)]
        for one in sorted(range(count), key=lambda n: (sizes[n], firsts[n])):
            if sizes[one] >= least:
                return labels
            around = ndimage.binary_dilation(numbers == one) & (numbers != one) & (numbers >= 0)
            near = set(numbers[around].tolist())
            if near:
                best = max(near, key=lambda n: (sizes[n], -firsts[n]))
                labels[numbers == one] = labels.ravel()[firsts[best]]
                break
        else:
            return labels


@pytest.mark.parametrize(("seed", "least", "rows"), [(1, 4, 3), (2, 12, 16), (3, 60, 7), (4, 2, 1)])
def test_the_sieve_is_that_of_looking_at_everything_again(seed, least, rows):
    labels = speckled(seed, 23, 31)
    patches, read = patches_of(labels, rows)
    merged = sieved(patches, read, least)
    found = np.full(labels.shape, 255, np.uint8)
    for window, values in _values(patches, merged, read):
        found[window.slices] = values
    assert np.array_equal(found, slow_sieve(labels, least))
    assert np.array_equal(found == 255, labels == 255)  # never through nodata
    numbers, count = components(found)
    for one in range(count):
        own = numbers == one
        around = ndimage.binary_dilation(own) & ~own
        assert own.sum() >= least or (found[around] == 255).all()


def test_a_speck_beyond_nodata_stays(tmp_path, capsys):
    labels = quarters()
    labels[3, 3], labels[30, 20] = 2, 2  # a speck in the water, one in the forest
    labels[30:33, 2:5] = 255
    labels[31, 3] = 2  # an island in nodata
    path, out = map_file(tmp_path / "map.tif", labels), tmp_path / "sieved.tif"
    assert main(["sieve", str(path), "mmu=2ha", f"out={out}", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["least_pixels"], record["islands"]) == (2, 1)
    expected = labels.copy()
    expected[3, 3], expected[30, 20] = 0, 1
    with rasterio.open(out) as dataset:
        assert np.array_equal(dataset.read(1), expected)
        assert dataset.tags()["MAPSR_MMU"] == "2ha"
    assert main(["sieve", str(path), "mmu=2", f"out={tmp_path / 'x.tif'}"]) == 1
    assert "mmu=2 can't be read, expected hectares or pixels" in capsys.readouterr().err


def test_units_are_counted_in_pixels_of_the_ground():
    assert MinimumUnit.read("40px").pixels(ALBERS) == 40
    assert MinimumUnit.read("2.5 ha").pixels(ALBERS) == 3
    assert MinimumUnit.read("2ha").pixels(ALBERS) == 2
    degrees = Grid(CRS.from_epsg(4326), Affine(0.001, 0, 10, 0, -0.001, 60), 40, 60)
    # about 55.8 m x 111.4 m: 0.62 ha
    assert MinimumUnit.read("10ha").pixels(degrees) == 17
    for text in ("", "ha", "-1ha", "0px", "nan px", "5 acres"):
        with pytest.raises(ConfigError, match="expected hectares or pixels"):
            MinimumUnit.read(text)


def whole_polygons(labels, transform):
    found = shapes(labels, mask=labels != 255, connectivity=4, transform=transform)
    return [(int(value), shapely.geometry.shape(geometry)) for geometry, value in found]


def test_polygons_are_those_of_the_whole_raster_without_a_seam(tmp_path, monkeypatch, capsys):
    labels = speckled(5)
    path, out = map_file(tmp_path / "map.tif", labels), tmp_path / "map.gpkg"
    sure = np.where(labels == 255, np.nan, np.indices(labels.shape).sum(0) / 100)
    confidence = tmp_path / "sure.tif"
    write_raster(confidence, sure.astype(np.float32), ALBERS, nodata=np.nan)
    monkeypatch.setattr(budgets, "MEASURED_PX", budgets.Budget(1))
    monkeypatch.setattr("mapsr.measure.patches._LEAST_ROWS", 6)
    monkeypatch.setattr("mapsr.measure.outlining._BATCH", 7)
    assert main(["vectors", str(path), f"out={out}", f"confidence={confidence}"]) == 0
    meta, _, wkb, values = pyogrio.raw.read(out)
    rows = dict(zip(meta["fields"], values, strict=True))
    found = shapely.from_wkb(wkb)
    expected = whole_polygons(labels, ALBERS.transform)
    assert len(found) == len(expected)
    assert shapely.is_valid(found).all()

    def corners(geometry):
        return sorted(map(tuple, shapely.get_coordinates(geometry).tolist()))

    by_place = {one.representative_point().wkt: one for _, one in expected}
    for name, hectares, sized, mean, one in zip(
        rows["class"], rows["hectares"], rows["pixels"], rows["confidence"], found, strict=True
    ):
        match = [(v, e) for v, e in expected if e.contains(one.representative_point())]
        value, other = min(match, key=lambda pair: pair[1].area)
        assert one.equals(other) and name == ("water", "forest", "built")[value]
        assert len(set(corners(one))) == len(set(corners(other)))  # no corner at a seam
        assert hectares == pytest.approx(sized, rel=1e-6) and sized == one.area / 1e4
        inside = [
            sure[row, col]
            for row, col in zip(*np.nonzero(labels == value), strict=True)
            if one.contains(shapely.Point(ALBERS.transform @ (col + 0.5, row + 0.5)))
        ]
        assert mean == pytest.approx(np.mean(inside), abs=1e-6)
    assert by_place
    assert main(["vectors", str(path), f"out={out}"]) == 1
    assert "is there already" in capsys.readouterr().err


def test_a_ring_across_strips_has_its_hole():
    labels = np.zeros((9, 7), np.int32)
    labels[1:8, 1:6] = 1
    labels[3:6, 3] = 0
    strips = {row: np.ascontiguousarray(labels[row : row + 4]) for row in (0, 4, 8)}
    parts = [one for row, strip in strips.items() for _, one in outlines(strip, row)]
    ring = joined(parts)
    assert ring.equals(shapely.Polygon(shapely.box(1, 1, 6, 8).exterior, [
        [(3, 3), (3, 6), (4, 6), (4, 3)]]))  # fmt: skip
    assert len(shapely.get_coordinates(ring)) == 10  # four corners each, and the ends


def test_a_map_without_a_class_has_no_polygon(tmp_path, capsys):
    path = map_file(tmp_path / "map.tif", np.full((HEIGHT, WIDTH), 255))
    assert main(["vectors", str(path), f"out={tmp_path / 'x.gpkg'}"]) == 1
    assert "has no pixel with a class" in capsys.readouterr().err
    assert not (tmp_path / "x.gpkg").exists()
