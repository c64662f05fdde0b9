"""Products against a truth and inside cities: by hand, against slow references, and bad input."""

import json

import numpy as np
import pytest
from affine import Affine
from make_vectors import write_vectors
from rasterio.crs import CRS
from shapely import Point, Polygon, box

from mapsr.errors import ConfigError, DataError, RasterError
from mapsr.evaluation import Confusion, Scores
from mapsr.geo import Grid, Window, write_cog, write_raster
from mapsr.geo.boundaries import Boundaries, open_boundaries, pixel_hectares, read_boundaries
from mapsr.labelling import comparing
from mapsr.labelling.boxes import box_of
from mapsr.labelling.comparing import CompareSettings, run_comparison
from mapsr.labelling.comparison_files import csv_text, lines_of, pair_rows, product_rows
from mapsr.labelling.products import RasterSource
from mapsr.legends import load_legend
from mapsr.progress import Quiet

LEGEND = load_legend("ecovision8")
X, Y = 346000.0, 5648000.0
UTM = CRS.from_epsg(25832)


def raster(path, codes, size=1.0, left=X, top=Y, nodata=255, crs=UTM):
    codes = np.asarray(codes, np.uint8)
    grid = Grid(crs, Affine(size, 0, left, 0, -size, top), *codes.shape)
    write_raster(path, codes, grid, nodata=nodata)
    return str(path)


def own_map(path, indices):
    """A label map as mapsr writes them: indices, and the names of the classes inside."""
    raster(path.with_suffix(".plain.tif"), indices)
    write_cog(path.with_suffix(".plain.tif"), path, tags={}, legend=LEGEND)
    return str(path)


def found(**settings) -> dict:
    settings = {"target": "ecovision8", **settings}
    return run_comparison(CompareSettings(**settings), Quiet()).as_dict()


def test_built_up_land_is_one_class_to_a_product_that_merges_it(tmp_path):
    """WorldCover: built-up (50) over a building, a road and a tree; trees (10) over a building."""
    truth = raster(tmp_path / "t.tif", [[1, 3, 5, 1, 5, 255]])
    cover = raster(tmp_path / "c.tif", [[50, 50, 50, 10, 10, 50]])
    given = found(
        maps=(cover,), legends=("esa_worldcover",), truth=truth, truth_legend="ecovision8"
    )
    product = given["products"]["c"]
    groups = {tuple(one["classes"]): one for one in product["groups"]}
    built = groups["buildings", "roads", "other impervious"]
    assert built["producers_accuracy"] == pytest.approx(2 / 3)
    assert built["users_accuracy"] == pytest.approx(2 / 3)
    assert groups["trees",]["users_accuracy"] == 0.5
    assert product["oa"] == pytest.approx(3 / 5)
    assert given["truth"]["pixels"] == 5
    assert given["truth"]["shares"]["buildings"] == 0.4
    text = "\n".join(lines_of(given))
    assert "c: buildings, roads, other impervious are one class" in text
    assert next(row["classes"] for row in product_rows(given)).startswith("buildings + roads + ")


def test_classes_that_a_product_lacks_are_left_out_of_its_score(tmp_path):
    """Table 7's rule: three of four pixels are of classes that the product has, two are right."""
    truth = raster(tmp_path / "t.tif", [[1, 1, 4, 8]])
    paths = {"hi_ulcm": raster(tmp_path / "h.tif", [[5, 3, 6, 6]], nodata=None)}
    given = found(
        registry="ecovision_table6", target="", paths=paths, truth=truth, truth_legend="ecovision8"
    )["products"]["hi_ulcm"]
    assert given["lacks"] == ["agriculture"]
    assert (given["pixels"], given["oa"]) == (3, pytest.approx(2 / 3))
    assert given["users_accuracy"]["water"] == 1.0  # the field called water does not count
    assert given["producers_accuracy"]["agriculture"] is None


def test_what_a_label_map_leaves_undetermined_is_an_error_of_all_pixels_alone(tmp_path):
    truth = raster(tmp_path / "t.tif", [[1, 1, 4, 8]])
    labels = own_map(tmp_path / "labels.tif", [[0, 255, 255, 0]])
    given = found(maps=(labels,), truth=truth, truth_legend="ecovision8")["products"]["labels"]
    assert (given["oa"], given["oa_all"], given["ratio"]) == (0.5, 0.25, 0.5)
    assert given["covered"] == 0.5


def test_scores_are_those_of_the_confusion_matrix(tmp_path):
    """Of a map with all classes; in windows that are smaller than the raster."""
    generator = np.random.default_rng(5)
    truth, labels = (generator.integers(0, 8, (37, 53)).astype(np.uint8) for _ in range(2))
    labels[generator.random(labels.shape) < 0.3] = 255
    truth[:3] = 255
    given = found(
        maps=(own_map(tmp_path / "m.tif", labels),),
        truth=own_map(tmp_path / "t.tif", truth),
    )["products"]["m"]
    counts = Confusion.of(truth, labels, 8).counts
    assert given["oa_all"] == pytest.approx(Scores.of(Confusion(counts)).oa)
    counts[:, -1] = 0
    want = Scores.of(Confusion(counts)).as_dict(LEGEND.names)
    for key in ("oa", "producers_accuracy", "users_accuracy", "f1"):
        assert given[key] == pytest.approx(want[key])


def test_windows_and_files_of_a_truth_add_up(tmp_path, monkeypatch):
    generator = np.random.default_rng(6)
    truth, labels = (generator.integers(1, 9, (30, 44)).astype(np.uint8) for _ in range(2))
    whole = raster(tmp_path / "whole.tif", truth)
    raster(tmp_path / "part_1.tif", truth[:, :20])
    raster(tmp_path / "part_2.tif", truth[:, 20:], left=X + 20)
    cities = write_vectors(
        tmp_path / "c.gpkg", "c", "EPSG:25832",
        [box(X + 3, Y - 25, X + 31, Y - 4), box(X + 25, Y - 28, X + 40, Y)], name=["a", "b"],
    )  # fmt: skip
    given = {"maps": (raster(tmp_path / "m.tif", labels),), "legends": ("ecovision8",),
             "truth_legend": "ecovision8", "cities": str(cities)}  # fmt: skip
    one = found(truth=whole, **given)
    parts = found(truth=str(tmp_path / "part_*.tif"), **given)
    monkeypatch.setattr(comparing, "_WINDOW_PX", 7)
    assert found(truth=whole, **given) == one
    assert parts == one
    assert one["cities"]["boundaries"]["a"]["pixels"] == 28 * 21
    json.dumps(one, allow_nan=False)


def test_pairs_are_counted_with_their_conflicts(tmp_path):
    maps = (own_map(tmp_path / "a.tif", [[0, 0, 1, 255]]),
            own_map(tmp_path / "b.tif", [[0, 4, 255, 255]]))  # fmt: skip
    given = found(maps=maps, truth=own_map(tmp_path / "t.tif", [[0, 0, 0, 0]]))
    (pair,) = pair_rows(given)
    assert (pair["both"], pair["agree"], pair["conflict"]) == (2, 1, 1)
    assert pair["conflict_share"] == 0.25


def city_map(tmp_path, size=2.0, crs="EPSG:25832"):
    """Four by six cells; a city of 2 x 3 of them, one half outside, one of two parts."""
    indices = np.array([[0, 0, 4, 4, 7, 7], [0, 4, 4, 4, 7, 7], [2] * 6, [2, 2, 2, 2, 255, 255]])
    shapes = [
        box(X, Y - 2 * size, X + 3 * size, Y),
        box(X + 4 * size, Y - 2 * size, X + 8 * size, Y),
        box(X, Y - 3 * size, X + size, Y - 2 * size),
        box(X + 4 * size, Y - 4 * size, X + 6 * size, Y - 2 * size),
    ]
    cities = write_vectors(
        tmp_path / "c.gpkg",
        "c",
        crs,
        shapes,
        name=["a", "b", "c", "c"],
        region=["N", "S", "N", "N"],
    )
    path = tmp_path / "m.tif"
    raster(path.with_suffix(".plain.tif"), indices, size=size)
    write_cog(path.with_suffix(".plain.tif"), path, tags={}, legend=LEGEND)
    return str(path), str(cities)


def test_areas_and_shares_of_cities_by_hand(tmp_path):
    path, cities = city_map(tmp_path)
    given = found(maps=(path,), cities=cities, cities_group="region")["cities"]
    assert given["hectares_per_pixel"] == pytest.approx(4e-4)
    assert {name: one["group"] for name, one in given["boundaries"].items()} == {
        "a": "N", "b": "S", "c": "N",
    }  # fmt: skip
    assert given["boundaries"]["b"]["inside"] == 0.5
    assert given["boundaries"]["c"]["inside"] == 1.0
    product = given["products"]["m"]
    a, b, c = (product["by_city"][name] for name in "abc")
    assert a["pixels"]["buildings"] == a["pixels"]["trees"] == 3
    assert a["hectares"]["buildings"] == pytest.approx(12e-4)
    assert (a["shares"]["trees"], b["shares"]["agriculture"]) == (0.5, 1.0)
    assert (c["shares"]["roads"], c["undetermined_pixels"]) == (1.0, 2)
    # a mean of shares: cities weigh the same, whatever their size
    assert product["mean_shares"]["agriculture"] == pytest.approx(1 / 3)
    assert product["mean_shares"]["buildings"] == pytest.approx(0.5 / 3)
    assert sum(product["mean_shares"].values()) == pytest.approx(1)
    shares = product["boxes"]["buildings"]["shares"]
    assert (shares["count"], shares["least"], shares["median"], shares["greatest"]) == (
        3,
        0,
        0,
        0.5,
    )


def test_accuracies_of_cities_are_those_of_the_cut_out_rasters(tmp_path):
    generator = np.random.default_rng(7)
    truth, labels = (generator.integers(0, 8, (40, 31)).astype(np.uint8) for _ in range(2))
    ring = Polygon([(X + 2.2, Y - 1), (X + 29, Y - 8), (X + 20, Y - 38), (X + 5, Y - 30)])
    cities = write_vectors(tmp_path / "c.gpkg", "c", "EPSG:25832", [ring], name=["a"])
    maps = (own_map(tmp_path / "m.tif", labels),)
    given = found(maps=maps, truth=own_map(tmp_path / "t.tif", truth), cities=str(cities))
    inside = np.array(
        [[ring.contains(Point(X + c + 0.5, Y - r - 0.5)) for c in range(31)] for r in range(40)]
    )
    want = Scores.of(Confusion.of(np.where(inside, truth, 255).astype(np.uint8), labels, 8))
    city = given["cities"]["products"]["m"]["by_city"]["a"]
    assert city["oa"] == pytest.approx(want.oa)
    assert city["users_accuracy"] == pytest.approx(want.as_dict(LEGEND.names)["users_accuracy"])
    assert city["pixels"]["soil"] == (labels[inside] == 1).sum()


def test_pixels_of_several_classes_are_a_share_of_their_own(tmp_path):
    """Built-up land was left out of the shares, and what was left of a city added up to 100 %."""
    cover = raster(tmp_path / "c.tif", [[50, 50, 50, 10]])
    cities = write_vectors(
        tmp_path / "c.gpkg", "c", "EPSG:25832", [box(X, Y - 1, X + 4, Y)], name=["a"]
    )
    given = found(maps=(cover,), legends=("esa_worldcover",), cities=str(cities))["cities"]
    shares = given["products"]["c"]["by_city"]["a"]["shares"]
    assert (shares["trees"], shares["several classes"]) == (0.25, 0.75)


def test_hectares_are_told_only_where_metres_are_true():
    grids = [Grid(CRS.from_epsg(code), Affine(2, 0, 0, 0, -5, 0), 3, 4) for code in (25832, 4326)]
    mercator = Grid(CRS.from_epsg(3857), Affine(2, 0, 0, 0, -5, 0), 3, 4)
    assert [pixel_hectares(grid) for grid in (*grids, mercator)] == [1e-3, None, None]


def test_cities_do_not_depend_on_the_window_that_they_are_seen_in(tmp_path):
    shape = Point(X + 700, Y - 600).buffer(300)
    path = write_vectors(tmp_path / "c.gpkg", "c", "EPSG:25832", [shape], name=["a"])
    grid = Grid(UTM, Affine(1, 0, X, 0, -1, Y), 1300, 1500)
    areas = read_boundaries(open_boundaries(path, None, "name", None), "name", None, grid)
    assert isinstance(areas, Boundaries)
    ((_, place, whole),) = areas.masks(grid.window)
    half = Window(0, 650, 1300, 850)
    ((_, part, cut),) = areas.masks(half)
    left = max(place.col, part.col)
    assert np.array_equal(whole[:, left - place.col :], cut[:, left - part.col :])
    assert whole.sum() == pytest.approx(areas.pixels[0], rel=1e-3)


def test_box_of_values_by_hand():
    found = box_of([1.0, None, 2.0, 3.0, 4.0, 100.0])
    assert (found.count, found.mean, found.median) == (5, 22.0, 3.0)
    assert (found.quartile_1, found.quartile_3) == (2.0, 4.0)
    assert (found.whisker_low, found.whisker_high, found.greatest) == (1.0, 4.0, 100.0)
    assert box_of([None]) is None
    assert box_of([2.0]).std is None


def test_csv_of_nothing_is_empty_and_none_is_no_number():
    assert csv_text([]) == ""
    assert csv_text([{"a": None, "b": 1 / 3, "c": 2}]) == "a,b,c\n,0.333333,2\n"


def test_classes_are_merged_only_if_all_their_values_are_shared():
    source = RasterSource((), {1: ("a", "b"), 2: ("b", "a"), 3: ("c", "d"), 4: ("d",)})
    assert source.merged() == (("a", "b"), ("c",), ("d",))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"truth": "t.tif"}, ConfigError, "nothing to compare, expected maps"),
        ({"maps": ("a.tif",)}, ConfigError, "nothing to compare with, expected truth="),
        ({"maps": ("a.tif",), "legends": ("x", "y"), "truth": "t"}, ConfigError, "2 for 1 maps"),
        ({"maps": ("t.tif",), "truth": "t.tif", "target": ""}, ConfigError, "target= is missing"),
        ({"maps": ("no_*.tif",), "truth": "t.tif"}, DataError, "No file matches MAP=no_"),
        ({"maps": ("t.tif",), "truth": "t.tif"}, ConfigError, "t.tif holds no class names"),
        (
            {"maps": ("m.tif",), "truth": "m.tif", "target": "chesapeake4"},
            ConfigError,
            "m.tif has the classes buildings, .* expected classes of legend 'chesapeake4'",
        ),
        (
            {"maps": ("m.tif",), "truth": "t.tif", "truth_legend": "esa_worldcover"},
            ConfigError,
            "Code 50 of the truth stands for buildings, roads, other impervious",
        ),
        (
            {"maps": ("m.tif",), "truth": "far.tif", "truth_legend": "ecovision8"},
            DataError,
            "Product 'm' .* does not overlap",
        ),
        (
            {"maps": ("m.tif",), "truth": "odd.tif", "truth_legend": "ecovision8"},
            DataError,
            "names no class of legend 'ecovision8' anywhere \\(codes without mapping: 77\\)",
        ),
        (
            {"maps": ("m.tif",), "cities": "c.gpkg", "cities_name": "nmae"},
            RasterError,
            "has no column 'nmae' \\(cities_name=\\), .* Did you mean 'name'",
        ),
        ({"maps": ("m.tif",), "cities": "p.gpkg"}, DataError, "holds 1 lines or points"),
        ({"maps": ("m.tif",), "cities": "gone.gpkg"}, RasterError, "there is no such file"),
    ],
)
def test_bad_input_is_one_sentence(settings, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raster(tmp_path / "t.tif", [[1, 2]])
    raster(tmp_path / "odd.tif", [[77, 77]])
    raster(tmp_path / "far.tif", [[1, 2]], left=X + 9e4)
    own_map(tmp_path / "m.tif", [[0, 1]])
    write_vectors(tmp_path / "c.gpkg", "c", "EPSG:25832", [box(X, Y - 1, X + 1, Y)], name=["a"])
    write_vectors(tmp_path / "p.gpkg", "c", "EPSG:25832", [Point(X, Y)], name=["a"])
    with pytest.raises(error, match=message):
        found(**settings)


def test_products_of_koeln_reach_what_their_makers_say(shared, tmp_path):
    """The README of the data: OA of WorldCover .860, of Hi-ULCM without the fields .752."""
    folder = shared / "data" / "iel" / "koeln"
    legend = tmp_path / "truth.yaml"
    order = ("soil", "grass and shrubs", "other impervious", "roads", "trees", "water")
    classes = [
        f"  - {{code: {code}, name: {name}, color: [{code}, 0, 0]}}"
        for code, name in enumerate((*order, "agriculture", "buildings"), 1)
    ]
    head = ["name: truth", "title: truth", "source: s", "nodata: [0]", "classes:"]
    legend.write_text("\n".join([*head, *classes]))
    given = found(
        registry="ecovision_table6",
        paths={
            "hi_ulcm": str(folder / "hi_ulcm_2m.tif"),
            "esa_worldcover": str(folder / "worldcover_10m.tif"),
        },
        maps=(str(folder / "reference_label_0.tif"),),
        legends=("ecovision8",),
        truth=str(folder / "truth.tif"),
        truth_legend=str(legend),
    )["products"]
    assert given["esa_worldcover"]["oa"] == pytest.approx(0.860, abs=5e-4)
    assert given["hi_ulcm"]["oa"] == pytest.approx(0.752, abs=5e-4)
    assert given["reference_label_0"]["oa"] == pytest.approx(0.956, abs=5e-4)
    assert given["reference_label_0"]["ratio"] == pytest.approx(0.491, abs=5e-4)
