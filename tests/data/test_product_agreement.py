"""Labels on which several coarse products agree."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform

from mapsr.data import Scene, SceneSource, find_scenes
from mapsr.data.chips import Chip
from mapsr.data.geotiff import GeoTiffSettings, read_table
from mapsr.errors import ConfigError, DataError
from mapsr.geo import Grid, Window, read_codes, write_raster
from mapsr.legends import load_crosswalk, load_legend

HEIGHT, WIDTH = 4, 6
GRID = Grid(CRS.from_epsg(2180), Affine(10, 0, 500_000, 0, -10, 500_040), HEIGHT, WIDTH)
WHOLE = Window(0, 0, HEIGHT, WIDTH)
TARGET = load_legend("chesapeake4")
ESA, ESRI, FROM = (
    load_crosswalk("paraformer", load_legend(name), TARGET)
    for name in ("esa_worldcover", "esri_10m", "from_glc10")
)
SOURCE = SceneSource(255.0, ESA, None, agree=(ESRI, FROM))

# ESA WorldCover: 10 trees, 30 grass, 40 crops, 50 built-up, 70 snow, 80 water, 0 nodata
ESA_CODES = [
    [10, 10, 10, 80, 80, 50],
    [30, 40, 40, 50, 50, 50],
    [70, 70, 0, 10, 80, 10],
    [10, 10, 10, 10, 10, 10],
]
# Esri, two rows and a column larger to the north-west: 1 water, 2 trees, 5 crops, 7 built, 9 snow
ESRI_CODES = [
    [0, 2, 2, 5, 1, 1, 7],
    [0, 5, 5, 11, 7, 2, 7],
    [0, 9, 2, 2, 2, 1, 10],
    [0, 2, 2, 2, 2, 2, 2],
]
# FROM-GLC10 in cells of 20 m: 20 forest, 30 grassland, 60 water, 80 impervious
FROM_CODES = [[20, 20, 60], [30, 30, 80], [20, 60, 20]]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A scene whose three products lie on three grids of one CRS."""
    grid_of = {
        "esa": GRID,
        "esri": Grid(GRID.crs, Affine(10, 0, 499_990, 0, -10, 500_040), HEIGHT, WIDTH + 1),
        # begins a row of the image above it
        "from": Grid(GRID.crs, Affine(20, 0, 500_000, 0, -20, 500_050), 3, 3),
    }
    codes = {"esa": ESA_CODES, "esri": ESRI_CODES, "from": FROM_CODES}
    for name, grid in grid_of.items():
        write_raster(tmp_path / f"{name}.tif", np.array(codes[name], np.uint8), grid, nodata=0)
    write_raster(tmp_path / "image.tif", np.full((3, HEIGHT, WIDTH), 9, np.uint8), GRID)
    files = [tmp_path / f"{name}.tif" for name in ("image", "esa", "esri", "from")]
    return Scene("pole", files[0], files[1], None, tuple(files[2:]))


def read(scene: Scene, source: SceneSource = SOURCE, window: Window = WHOLE) -> torch.Tensor:
    chip: Chip = source.read(scene, window)
    assert chip.coarse is not None
    return chip.coarse


def test_labels_on_which_all_agree_by_hand(scene: Scene):
    SOURCE.check(scene)
    got = read(scene)
    # FROM-GLC10 on the rows of the image: 20 20 | 20 20 | 60 60, then 30 30 | 30 30 | 80 80 twice,
    # then 20 20 | 60 60 | 20 20
    kept = [
        [10, 10, None, None, 80, None],  # Esri: crops, then water; FROM: forest under water, water
        [30, 40, 40, None, None, 50],  # grass is crops' neighbour: one class of the map
        [None, None, None, None, None, None],  # snow stands for nothing, even where two say so
        [10, 10, None, None, 10, 10],
    ]
    codes = [
        [None if index == 255 else ESA.source.codes[index] for index in row] for row in got.tolist()
    ]
    assert codes == kept
    assert got.dtype == torch.uint8
    assert SOURCE.labels.unknown_codes == {}


def test_windows_agree_with_the_whole(scene: Scene):
    whole = read(scene)
    window = Window(1, 2, 3, 4)
    assert torch.equal(read(scene, window=window), whole[window.slices])


def test_products_in_another_crs_by_a_slow_oracle(scene: Scene, tmp_path: Path):
    generator = np.random.default_rng(89231)
    mercator = CRS.from_epsg(3857)
    (left, right), (top, bottom) = transform(
        GRID.crs,
        mercator,
        [GRID.bounds[0], GRID.bounds[2]],
        [GRID.bounds[3], GRID.bounds[1]],
    )
    cells = Grid(mercator, Affine(13, 0, left - 20, 0, -13, top + 20), 9, 13)
    assert cells.bounds[2] > right and cells.bounds[1] < bottom
    others = []
    for crosswalk in (ESRI, FROM):
        codes = generator.choice([*crosswalk.source.codes, 0], (9, 13)).astype(np.uint8)
        path = tmp_path / f"{crosswalk.source.name}.tif"
        write_raster(path, codes, cells, nodata=0)
        others.append(path)
    scene = replace(scene, others=tuple(others))
    got = read(scene)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            one = Window(row, column, 1, 1)
            named = [
                crosswalk.targets().get(int(read_codes(path, GRID, one)[0, 0]))
                for crosswalk, path in zip((ESA, ESRI, FROM), (scene.coarse, *others), strict=True)
            ]
            agreed = named[0] is not None and set(named) == {named[0]}
            index = ESA.source.codes.index(ESA_CODES[row][column]) if agreed else 255
            assert int(got[row, column]) == index


def test_product_that_agrees_with_itself_changes_only_what_is_left_out(scene: Scene):
    assert scene.coarse is not None
    alone = read(replace(scene, others=()), SceneSource(255.0, ESA))
    same = read(replace(scene, others=(scene.coarse,)), SceneSource(255.0, ESA, None, agree=(ESA,)))
    left_out = ESA.apply(alone.numpy()) == 255
    assert left_out.sum() == 3
    assert (same.numpy()[left_out] == 255).all()
    assert (same.numpy()[~left_out] == alone.numpy()[~left_out]).all()


def test_unknown_codes_of_further_products_are_counted(scene: Scene):
    write_raster(scene.others[1], np.full((HEIGHT, WIDTH), 77, np.uint8), GRID, nodata=0)
    source = SceneSource(255.0, ESA, None, agree=(ESRI, FROM))
    assert (read(scene, source) == 255).all()
    assert source.labels.unknown_codes == {"pole": {"coarse_3": {77: HEIGHT * WIDTH}}}


def test_scene_without_products_is_read_without_labels(scene: Scene):
    plain = replace(scene, coarse=None, others=())
    SOURCE.check(plain)
    assert SOURCE.read(plain, WHOLE).coarse is None


@pytest.mark.parametrize("number", [0, 1, 3])
def test_wrong_number_of_products_is_refused(scene: Scene, number: int):
    wrong = replace(scene, others=(scene.others * 2)[:number])
    message = (
        rf"Scene 'pole' has {1 + number} coarse product\(s\), expected one of each legend "
        r"\(esa_worldcover, esri_10m, from_glc10\); complete the scene"
    )
    for attempt in (lambda: SOURCE.check(wrong), lambda: SOURCE.read(wrong, WHOLE)):
        with pytest.raises(DataError, match=message):
            attempt()


def test_further_products_alone_are_refused(scene: Scene):
    with pytest.raises(DataError, match=r"Scene 'pole' has 2 coarse product\(s\)"):
        SOURCE.check(replace(scene, coarse=None))


def test_further_product_elsewhere_is_refused(scene: Scene, tmp_path: Path):
    far = Grid(GRID.crs, Affine(10, 0, 600_000, 0, -10, 500_040), HEIGHT, WIDTH)
    write_raster(tmp_path / "far.tif", np.full((HEIGHT, WIDTH), 20, np.uint8), far)
    wrong = replace(scene, others=(scene.others[0], tmp_path / "far.tif"))
    with pytest.raises(DataError, match=r"The coarse_3 labels .*far\.tif do not overlap the image"):
        SOURCE.check(wrong)


def settings(root: Path, text: str, **changes) -> GeoTiffSettings:
    (root / "list.csv").write_text(text)
    agree = {"agree": ("esri_10m", "from_glc10")}
    return GeoTiffSettings(root=str(root), table="list.csv", **(agree | changes))


def test_table_names_the_products(tmp_path: Path):
    text = "image_fn,label_fn,label_fn_2,label_fn_3,truth_fn\na.tif,e.tif,s/r.tif,f.tif,\nb.tif,,,"
    a, b = find_scenes(settings(tmp_path, text)).fit
    assert (a.coarse, a.others) == (tmp_path / "e.tif", (tmp_path / "s/r.tif", tmp_path / "f.tif"))
    assert (b.coarse, b.others) == (None, ())
    # a list of images alone names the first product of each
    (only, _) = read_table(tmp_path / "list.csv")
    assert (only.coarse, only.others) == (tmp_path / "e.tif", ())


@pytest.mark.parametrize(
    ("text", "agree", "message"),
    [
        ("image_fn,label_fn\na,b\n", ("esri_10m",), "has no column for .*expected label_fn_2: dat"),
        ("image_fn,label_fn,label_fn_2\na,b,c\n", (), "has label_fn_2 .*expected no such column"),
        ("image_fn,label_fn,label_fn_3\na,b,c\n", ("esri_10m",), "has label_fn_3 .*label_fn_2"),
        (
            "image_fn,label_fn,label_fn_2\na,b,c\nd,e,\n",
            ("esri_10m",),
            "has no label_fn_2 in line 3, expected all of label_fn, label_fn_2 or none of them",
        ),
        ("image_fn,label_fn,label_fn_2\na,,c\n", ("esri_10m",), "has no label_fn in line 2"),
    ],
)
def test_faulty_tables_are_refused(tmp_path: Path, text: str, agree: tuple[str, ...], message: str):
    made = settings(tmp_path, text, agree=agree)
    with pytest.raises(DataError, match=message):
        find_scenes(made)


def test_agree_needs_a_table():
    with pytest.raises(ConfigError, match=r"data\.agree is \[esri_10m\] without data\.table"):
        GeoTiffSettings(root="x", image="{scene}.tif", agree=("esri_10m",))
