import dataclasses

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform, transform_bounds

from mapsr.data.landscape import Canvas, Cover, Landscape, draw_landscape
from mapsr.data.landscape.coarse_product import (
    CONFUSED_SHARE,
    coarse_grid,
    dominant_code,
    make_coarse_product,
)
from mapsr.data.landscape.settlement import Settlement
from mapsr.geo import Grid
from mapsr.legends import load_legend

IMAGE_GRID = Grid(CRS.from_epsg(26918), Affine(1, 0, 380_000, 0, -1, 4_320_000), 200, 331)


@pytest.fixture(scope="module")
def landscape():
    return draw_landscape(Canvas(200, 331, 60), np.random.default_rng(31))


def one_cell(*, damp: bool = False, shrubby: bool = False, **share: float) -> int:
    """Code of a cell of the given shares; low vegetation fills it up."""
    share = {"LOW": 1 - sum(share.values())} | share
    shares = {kind: np.full((1, 1), share.get(kind.name, 0.0)) for kind in Cover}
    forest, farmland = (np.full((1, 1), code, dtype=np.uint8) for code in (42, 81))
    marks = np.full((1, 1), damp), np.full((1, 1), shrubby)
    return int(dominant_code(shares, *marks, forest, farmland)[0, 0])


def test_developed_land_goes_by_impervious_share():
    codes = {0.09: 81, 0.1: 21, 0.19: 21, 0.2: 22, 0.5: 23, 0.79: 23, 0.8: 24, 1.0: 24}
    for impervious, code in codes.items():
        assert one_cell(IMPERVIOUS=impervious) == code
        assert one_cell(ROAD=impervious) == code


def test_developed_open_space_goes_before_trees():
    assert one_cell(IMPERVIOUS=0.11, TREE=0.89) == 21


def test_what_prevails_names_the_cell():
    assert one_cell(WATER=0.6) == 11
    assert one_cell(WATER=0.6, TREE=0.2, ROAD=0.1) == 11
    assert one_cell(BARREN=0.6) == 31
    assert one_cell(TREE=0.6) == 42
    assert one_cell() == 81


def test_wetlands_lie_at_the_water():
    assert one_cell(TREE=0.6, damp=True) == 90
    assert one_cell(WATER=0.3, damp=True) == 95
    assert one_cell(WATER=0.3) == 81
    assert one_cell(damp=True) == 81


def test_shrub_stands_on_the_edges_of_woods():
    assert one_cell(TREE=0.4, shrubby=True) == 52
    assert one_cell(TREE=0.4) == 81
    assert one_cell(TREE=0.2, shrubby=True) == 81


def test_grid_covers_the_image_and_a_cell_more():
    grid = coarse_grid(IMAGE_GRID)
    inner = transform_bounds(IMAGE_GRID.crs, grid.crs, *IMAGE_GRID.bounds)
    left, bottom, right, top = grid.bounds
    margins = inner[0] - left, inner[1] - bottom, right - inner[2], top - inner[3]
    assert all(30 <= margin <= 60 for margin in margins)
    assert grid.transform.c % 30 == grid.transform.f % 30 == 0


def test_codes_are_of_the_legend_and_fill_the_grid(landscape):
    codes, grid = make_coarse_product(landscape, IMAGE_GRID, np.random.default_rng(3))
    assert (codes.shape, codes.dtype) == ((grid.height, grid.width), np.uint8)
    assert set(np.unique(codes)) <= set(load_legend("nlcd").codes)


def with_water(landscape: Landscape, water: np.ndarray) -> Landscape:
    """A bare landscape of water and low vegetation."""
    shore = np.where(water, np.float32(-99), np.float32(99))
    nothing = np.zeros(landscape.canvas.shape, dtype=np.float32)
    return dataclasses.replace(
        landscape,
        terrain=dataclasses.replace(landscape.terrain, shore=shore),
        place=Settlement(landscape.canvas),
        woods=dataclasses.replace(landscape.woods, height=nothing, cleared=nothing > 0),
    )


def test_a_lake_is_water_but_for_confusion(landscape):
    lake = with_water(landscape, np.ones(landscape.canvas.shape, dtype=bool))
    codes, _ = make_coarse_product(lake, IMAGE_GRID, np.random.default_rng(3))
    assert set(np.unique(codes)) == {11, 90, 95}
    assert (codes != 11).mean() == pytest.approx(CONFUSED_SHARE, abs=0.02)


def test_confusion_comes_in_patches(landscape):
    lake = with_water(landscape, np.ones(landscape.canvas.shape, dtype=bool))
    after_wrong = []
    for seed in range(6):
        codes, _ = make_coarse_product(lake, IMAGE_GRID, np.random.default_rng(seed))
        wrong = codes != 11
        after_wrong.extend(wrong[:, 1:][wrong[:, :-1]])
    assert np.mean(after_wrong) > 3 * CONFUSED_SHARE


@pytest.mark.parametrize("seed", range(4))
def test_the_product_is_displaced_by_about_half_a_cell(landscape, seed):
    """A straight shore east, then south, of the middle tells by how much along each axis."""
    rows, columns = landscape.canvas.shape
    moved = []
    for axis, water in enumerate(
        (
            np.broadcast_to(np.arange(columns) >= columns // 2, (rows, columns)),
            np.broadcast_to(np.arange(rows)[:, None] >= rows // 2, (rows, columns)),
        )
    ):
        codes, grid = make_coarse_product(
            with_water(landscape, water), IMAGE_GRID, np.random.default_rng(seed)
        )
        row, column = np.indices(codes.shape)
        x = grid.transform.c + 30 * (column + 0.5)
        y = grid.transform.f - 30 * (row + 0.5)
        eastings, northings = transform(grid.crs, IMAGE_GRID.crs, x.ravel(), y.ravel())
        from_shore = (
            np.array(eastings) - IMAGE_GRID.transform.c - (columns // 2 - 60),
            IMAGE_GRID.transform.f - np.array(northings) - (rows // 2 - 60),
        )[axis]
        wet = codes.ravel() == 11
        guesses = np.arange(-30, 31)
        errors = [np.count_nonzero((from_shore > guess) != wet) for guess in guesses]
        moved.append(guesses[np.argmin(errors)])
    assert 6 <= np.hypot(*moved) <= 19
