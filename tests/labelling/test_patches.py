"""From files to prompts: drawn cases, bad input, and the real and made products of two places."""

import numpy as np
import pytest
from affine import Affine
from make_vectors import write_vectors
from rasterio.crs import CRS
from shapely import LineString, Point, Polygon, box

from mapsr.errors import ConfigError, DataError, RasterError
from mapsr.geo import Grid, Window, image_info, read_codes, read_values, write_raster
from mapsr.labelling.levels import VotingSettings
from mapsr.labelling.patches import mistyped_tags, open_products, read_patch, require_overlap
from mapsr.labelling.plan import make_plan
from mapsr.labelling.products import Layer, Product, RasterSource, Tag, VectorSource
from mapsr.labelling.registry import load_registry
from mapsr.labelling.statistics import count_patch
from mapsr.labelling.voting import vote
from mapsr.legends import load_crosswalk, load_legend

LEGEND = load_legend("ecovision8")
UTM = CRS.from_epsg(25832)
X, Y = 346000.0, 5648000.0
GRID = Grid(UTM, Affine(1.0, 0, X, 0, -1.0, Y), 20, 31)
KOELN = {
    "cbf": "cbf.tif",
    "ucs": "ucs.tif",
    "hi_ulcm": "hi_ulcm_2m.tif",
    "sinolc1": "sinolc1_1m.tif",
    "gisa": "gisa_10m.tif",
    "osm": "osm.gpkg",
}


def raster(folder, name: str, codes: np.ndarray, size: float = 1.0, left=X, top=Y, nodata=None):
    grid = Grid(UTM, Affine(size, 0, left, 0, -size, top), *codes.shape)
    write_raster(folder / name, codes.astype(np.uint8), grid, nodata=nodata)
    return folder / name


def raster_product(*paths, values=None, nodata=()) -> Product:
    values = {0: (), 1: ("buildings",), 2: ("roads", "trees")} if values is None else values
    return Product("codes", RasterSource(tuple(paths), values, frozenset(nodata)))


def vector_product(path, *tags: Tag, may_lack=(), layer="a") -> Product:
    return Product("shapes", VectorSource((path,), (Layer(layer, tags, frozenset(may_lack)),)))


def read(product: Product, window=GRID.window, grid=GRID, weight=2):
    return read_patch(open_products([product]), [weight], LEGEND, grid, window)


def masks(patch) -> dict[str, np.ndarray]:
    return {LEGEND.names[prompt.target]: prompt.mask for prompt in patch.prompts}


def test_codes_become_prompts_by_hand(tmp_path):
    """A map of 4 m cells over a part of the image: each class has a mask, nodata covers nothing."""
    path = raster(tmp_path, "a.tif", np.array([[1, 2], [0, 9]]), size=4.0, nodata=9)
    patch = read(raster_product(path))
    found = masks(patch)
    assert set(found) == {"buildings", "roads", "trees"}
    assert found["buildings"][:4, :4].all()
    assert found["buildings"].sum() == 16
    assert (found["roads"] == found["trees"]).all()
    assert found["roads"][:4, 4:8].all()
    assert patch.covered[0].sum() == 48
    assert patch.present == (True,)
    assert [prompt.weight for prompt in patch.prompts] == [2, 2, 2]


def test_code_without_mapping_is_counted(tmp_path):
    codes = np.zeros((20, 31), int)
    codes[3:5, 7:10], codes[0, 0] = 7, 8
    patch = read(raster_product(raster(tmp_path, "a.tif", codes)))
    assert patch.unmapped == ({7: 6, 8: 1},)
    assert patch.covered[0].all()
    assert patch.prompts == ()
    declared = read(raster_product(tmp_path / "a.tif", nodata=[7]))
    assert declared.unmapped == ({8: 1},)
    assert declared.covered[0].sum() == 614


def test_first_of_two_rasters_that_has_a_value_counts(tmp_path):
    one = raster(tmp_path, "a.tif", np.array([[1, 9, 9]]), size=5.0, nodata=9)
    two = raster(tmp_path, "b.tif", np.array([[2, 2, 2]]), size=5.0, left=X + 5)
    far = raster(tmp_path, "c.tif", np.ones((3, 3)), left=X + 9000)
    found = masks(read(raster_product(far, one, two)))
    assert found["buildings"].sum() == 25
    assert found["roads"][:5, 5:20].all()
    assert found["roads"].sum() == 75


def test_tags_choose_features_and_their_classes(tmp_path):
    shapes = [box(X, Y - 4, X + 5, Y), box(X + 10, Y - 4, X + 15, Y), box(X + 20, Y - 4, X + 25, Y)]
    path = write_vectors(
        tmp_path / "a.gpkg",
        "a",
        "EPSG:25832",
        shapes,
        building=["yes", "no", None],
        landuse=[None, "forest", "forest"],
    )
    found = masks(
        read(
            vector_product(
                path,
                Tag("building", "*", ("buildings",)),
                Tag("landuse", "forest", ("trees", "agriculture")),
            )
        )
    )
    assert set(found) == {"buildings", "trees", "agriculture"}
    assert np.argwhere(found["buildings"]).max(axis=0).tolist() == [3, 4]
    assert found["trees"].sum() == 40
    assert found["trees"][:4, 10:15].all()


def test_each_tag_of_lines_has_its_own_buffer(tmp_path):
    lines = [LineString([(X, Y - at), (X + 31, Y - at)]) for at in (5.1, 14)]
    path = write_vectors(
        tmp_path / "a.gpkg", "a", "EPSG:25832", lines, highway=["path", "motorway"]
    )
    tags = Tag("highway", "path", ("roads",), 1.5), Tag("highway", "motorway", ("roads",), 4.0)
    found = masks(read(vector_product(path, *tags)))["roads"]
    rows = found.any(axis=1).nonzero()[0].tolist()
    assert rows == [4, 5, 6, *range(10, 18)]


def test_line_beside_the_window_reaches_into_it(tmp_path):
    line = LineString([(X - 3, Y), (X - 3, Y - 20)])
    path = write_vectors(tmp_path / "a.gpkg", "a", "EPSG:25832", [line], highway=["motorway"])
    found = masks(read(vector_product(path, Tag("highway", "motorway", ("roads",), 7.0))))
    assert found["roads"].any(axis=0).nonzero()[0].tolist() == [0, 1, 2, 3]


def test_layers_of_one_class_are_joined(tmp_path):
    path = tmp_path / "a.gpkg"
    write_vectors(path, "old", "EPSG:25832", [box(X, Y - 4, X + 5, Y)], kind=["house"])
    new = [box(X + 10, Y - 4, X + 15, Y)]
    write_vectors(path, "new", "EPSG:25832", new, append=True, kind=["house"])
    tags = (Tag("kind", "house", ("buildings",)),)
    source = VectorSource((path,), (Layer("old", tags), Layer("new", tags)))
    found = masks(read(Product("shapes", source)))["buildings"]
    assert found.sum() == 40
    assert found[:4, :5].all()


def test_lines_without_buffer_are_refused(tmp_path):
    shapes = [LineString([(X, Y - 5), (X + 31, Y - 5)]), Point(X + 3, Y - 3)]
    path = write_vectors(tmp_path / "a.gpkg", "a", "EPSG:25832", shapes, highway=["path", "path"])
    with pytest.raises(ConfigError, match="'shapes': 2 features highway=path are lines or points"):
        read(vector_product(path, Tag("highway", "path", ("roads",))))


def test_broken_geometries_are_counted(tmp_path):
    bow = Polygon([(X, Y), (X + 10, Y - 10), (X + 10, Y), (X, Y - 10)])
    shapes = [bow, None, Polygon([(X, Y), (X + 1, Y), (X, Y)])]
    path = write_vectors(tmp_path / "a.gpkg", "a", "EPSG:25832", shapes, building=["yes"] * 3)
    patch = read(vector_product(path, Tag("building", "*", ("buildings",))))
    assert (patch.repaired, patch.skipped) == ((1,), (1,))
    assert patch.prompts[0].mask.sum() == pytest.approx(50, abs=6)


def test_key_that_is_no_column_is_refused_with_the_nearest(tmp_path):
    shapes = [box(X, Y - 4, X + 5, Y)]
    path = write_vectors(tmp_path / "a.gpkg", "a", "EPSG:25832", shapes, building=["yes"])
    wrong = vector_product(path, Tag("bilding", "*", ("buildings",)))
    with pytest.raises(ConfigError, match=r"no column 'bilding', .* Did you mean 'building'"):
        open_products([wrong])
    tags = Tag("building", "*", ("buildings",)), Tag("shop", "car", ("buildings",))
    with pytest.raises(ConfigError, match=r"layer 'a' of .*a\.gpkg has no column 'shop'"):
        open_products([vector_product(path, *tags)])
    assert masks(read(vector_product(path, *tags, may_lack=["shop"])))["buildings"].sum() == 20
    with pytest.raises(ConfigError, match="no column 'shop'"):
        open_products([vector_product(path, tags[1], may_lack=["shop"])])


@pytest.mark.parametrize("suffix", ["gpkg", "fgb"])
def test_value_that_no_feature_has_is_named_with_the_nearest(tmp_path, suffix):
    shapes = [box(X, Y - 4, X + 5, Y)] * 3
    names = ["residential", "trunk", None]
    path = tmp_path / f"a.{suffix}"
    write_vectors(path, "a", "EPSG:25832", shapes, highway=names, other=["x"] * 3)
    values = ("residental", "trunk", "trunk_link", "motorway", "*")
    tags = [Tag("highway", value, ("roads",)) for value in values]
    opened = open_products([vector_product(path, *tags)])
    (found,) = mistyped_tags(opened)
    assert found.topic == "shapes"
    assert found.text.endswith(f"a.{suffix} is highway=residental")
    assert found.remedy == "Did you mean 'highway=residential'?"


def test_layer_that_is_not_there_is_refused(tmp_path):
    path = write_vectors(tmp_path / "a.gpkg", "lines", "EPSG:25832", [box(0, 0, 1, 1)], kind=["x"])
    with pytest.raises(RasterError, match=r"no layer 'line', .* Did you mean 'lines'"):
        open_products([vector_product(path, Tag("kind", "x", ("roads",)), layer="line")])


def test_product_that_overlaps_no_image_is_refused(tmp_path):
    far = raster_product(raster(tmp_path, "far.tif", np.ones((4, 4)), left=X + 5000))
    with pytest.raises(DataError, match=r"'codes' \(.*far\.tif\) does not overlap any of the 1 im"):
        require_overlap(open_products([far]), [GRID])
    shapes = write_vectors(tmp_path / "a.gpkg", "a", "EPSG:25832", [box(0, 0, 1, 1)], kind=["x"])
    away = vector_product(shapes, Tag("kind", "x", ("roads",)))
    with pytest.raises(DataError, match=r"'shapes' .* does not overlap"):
        require_overlap(open_products([away]), [GRID])
    near = Grid(UTM, Affine(1.0, 0, X + 4990, 0, -1.0, Y), 20, 31)
    require_overlap(open_products([far]), [GRID, near])


def test_patch_without_any_product_is_undetermined(tmp_path):
    """A neighbour of the products' area: nothing is present, nothing is labelled."""
    product = raster_product(raster(tmp_path, "a.tif", np.ones((4, 4)), left=X + 25))
    plan = make_plan(
        load_registry("ecovision", {"cbf": "a.tif"}), VotingSettings(thresholds="patch")
    )
    patch = read(product, Window(0, 0, 9, 12))
    assert patch.present == (False,)
    assert (vote(patch, plan.rule_for(patch)).label == 255).all()


def test_rule_of_a_patch_knows_two_readings_of_present(tmp_path):
    """An empty product that covers a patch is present by one reading only."""
    sites = raster(tmp_path, "sites.tif", np.zeros((20, 31)))
    land = raster(tmp_path, "land.tif", np.full((20, 31), 7))
    registry = load_registry("ecovision", {"ucs": str(sites), "sinolc1": str(land)})
    thresholds = {}
    for presence in ("covers", "votes"):
        settings = VotingSettings(thresholds="patch", presence=presence, cap="total")
        plan = make_plan(registry, settings)
        patch = read_patch(
            open_products(registry.products), plan.weights, LEGEND, GRID, GRID.window
        )
        thresholds[presence] = plan.rule_for(patch).thresholds[LEGEND.index("soil")]
    assert thresholds == {"covers": 3, "votes": 1}
    region = make_plan(registry, VotingSettings())
    assert region.rule_for(patch) == region.rule


def test_windows_equal_the_whole_for_rasters_and_vectors(tmp_path):
    generator = np.random.default_rng(3)
    degrees = Grid(CRS.from_epsg(4326), Affine(5e-5, 0, 6.8, 0, -5e-5, 50.97), 300, 400)
    write_raster(tmp_path / "a.tif", generator.integers(0, 3, (300, 400), np.uint8), degrees)
    spots = generator.uniform((X, Y - 90), (X + 130, Y), (60, 2))
    shapes = [
        Point(spot).buffer(size) for spot, size in zip(spots, np.linspace(1, 6, 60), strict=True)
    ]
    path = write_vectors(tmp_path / "a.gpkg", "a", "EPSG:25832", shapes, building=["yes"] * 60)
    products = open_products(
        [raster_product(tmp_path / "a.tif"), vector_product(path, Tag("building", "*", ("water",)))]
    )
    grid = Grid(UTM, Affine(0.5, 0, X, 0, -0.5, Y), 180, 260)
    plane = {}
    for part in (180, 45):
        planes = np.zeros((len(LEGEND), 180, 260), bool)
        for row in range(0, 180, part):
            for col in range(0, 260, 65 if part == 45 else 260):
                window = Window(row, col, part, 65 if part == 45 else 260)
                for one in read_patch(products, [1, 1], LEGEND, grid, window).prompts:
                    planes[(one.target, *window.slices)] |= one.mask
        plane[part] = planes
    assert (plane[180] == plane[45]).all()
    assert plane[180].any(axis=(1, 2)).sum() == 4


def koeln(folder, osm="osm"):
    paths = {osm if name == "osm" else name: str(folder / file) for name, file in KOELN.items()}
    registry = load_registry("ecovision", paths)
    plan = make_plan(registry, VotingSettings())
    opened = open_products(registry.products)
    grid = image_info(folder / "image.tif").grid
    require_overlap(opened, [grid])
    return plan, opened, grid


def koeln_truth(folder) -> np.ndarray:
    names = ("soil", "grass and shrubs", "other impervious", "roads", "trees", "water")
    table = np.full(256, 255, np.uint8)
    for code, name in enumerate((*names, "agriculture", "buildings"), 1):
        table[code] = LEGEND.index(name)
    return table[read_values(folder / "truth.tif", Window(0, 0, 1000, 1000))[0]]


@pytest.mark.parametrize(("osm", "trusted", "right"), [("osm", 49, 96), ("osm_printed", 50, 95)])
def test_koeln_as_its_reference(shared, osm, trusted, right):
    """All six products of Table 3 on one real image: .491 trusted, .956 of it right."""
    folder = shared / "data" / "iel" / "koeln"
    plan, opened, grid = koeln(folder, osm)
    patch = read_patch(opened, plan.weights, plan.target, grid, grid.window)
    labels = vote(patch, plan.rule_for(patch))
    truth = koeln_truth(folder)
    assert round(100 * labels.trusted.mean()) == trusted
    right_share = (labels.label == truth)[labels.trusted].mean()
    assert round(100 * right_share) == right
    assert np.all(patch.covered)
    assert not any(patch.unmapped)
    if osm == "osm":
        want = read_values(folder / "reference_label_0.tif", grid.window)[0]
        found = np.where(labels.trusted, labels.label + 1, 0)
        # PROJ's version moves a pixel or two in a thousand; 8 of 1,000,000 with that of the lock
        assert (found != want).sum() <= 50


def test_products_of_koeln_score_as_they_were_made(shared):
    """Footprints: F1 .909; Hi-ULCM: .752 right without the fields, which it has no class for."""
    folder = shared / "data" / "iel" / "koeln"
    plan, opened, grid = koeln(folder)
    patch = read_patch(opened, plan.weights, plan.target, grid, grid.window)
    counts = count_patch(plan, patch, vote(patch, plan.rule), koeln_truth(folder))
    products = counts.as_dict()["products"]
    assert round(products["cbf"]["truth"]["f1"]["buildings"], 3) == 0.909
    hi_ulcm = list(KOELN).index("hi_ulcm")
    assert round(counts.hits.accuracy(hi_ulcm, [LEGEND.index("agriculture")]), 3) == 0.752
    assert round(counts.ratio, 3) == 0.491
    assert round(counts.scores().oa, 3) == 0.956
    assert products["ucs"]["votes"] == 0.0
    assert products["ucs"]["covered"] == 1.0


def test_sixteen_windows_of_koeln_equal_the_whole(shared):
    plan, opened, grid = koeln(shared / "data" / "iel" / "koeln")
    patch = read_patch(opened, plan.weights, plan.target, grid, grid.window)
    whole = vote(patch, plan.rule)
    parts = np.zeros_like(whole.provenance)
    for row in range(0, 1000, 250):
        for col in range(0, 1000, 250):
            window = Window(row, col, 250, 250)
            patch = read_patch(opened, plan.weights, plan.target, grid, window)
            parts[window.slices] = vote(patch, plan.rule).provenance
    assert (parts == whole.provenance).all()


def test_osm_of_a_country_is_read_by_window(shared):
    """Real OpenStreetMap: with building=* there are houses and roads in the middle of Vaduz."""
    path = shared / "data" / "iel" / "osm_liechtenstein" / "osm.gpkg"
    registry = load_registry("ecovision", {"osm": str(path)})
    grid = Grid(CRS.from_epsg(32632), Affine(0.5, 0, 539200.0, 0, -0.5, 5221000.0), 1000, 1200)
    opened = open_products(registry.products)
    found = masks(read_patch(opened, [1], LEGEND, grid, grid.window))
    assert 0.01 < found["buildings"].mean() < 0.1
    assert 0.01 < found["roads"].mean() < 0.2


WV = """\
target: chesapeake4
resolution_m: 1
reference: 2013
products:
  nlcd: {{preset: nlcd, path: "{data}/chesapeake_wv/*/*_nlcd_30m.tif", level: 2}}
  landsat:
    path: "{data}/iel/wv/*_landsat.tif"
    kind: general
    values: {{1: tree canopy, 2: low vegetation, 3: impervious}}
  footprints:
    path: "{data}/iel/wv/*_buildings.tif"
    kind: thematic
    resolution_m: 1
    level: 1
    values: {{0: null, 1: impervious}}
"""


def test_west_virginia_in_four_classes(shared, tmp_path):
    """Three real products: where NLCD and the Landsat map agree, and footprints."""
    (tmp_path / "wv.yaml").write_text(WV.format(data=shared / "data"))
    registry = load_registry(str(tmp_path / "wv.yaml"))
    plan = make_plan(registry, VotingSettings())
    assert [one.topic for one in plan.findings()] == ["water"]
    opened = open_products(registry.products)
    legend = load_legend("chesapeake_1m")
    crosswalk = load_crosswalk("paraformer", legend, plan.target)
    trusted = right = valid = 0
    for image in sorted((shared / "data" / "chesapeake_wv").glob("*/*_naip.tif")):
        grid = image_info(image).grid
        patch = read_patch(opened, plan.weights, plan.target, grid, grid.window)
        labels = vote(patch, plan.rule_for(patch))
        codes = read_codes(image.with_name(image.name.replace("naip", "cclc")), grid, grid.window)
        truth = crosswalk.apply(legend.encode(codes)[0])
        valid += (truth != 255).sum()
        trusted += (labels.trusted & (truth != 255)).sum()
        right += (labels.trusted & (labels.label == truth)).sum()
    assert round(trusted / valid, 2) == 0.77
    assert round(right / trusted, 2) == 0.94
