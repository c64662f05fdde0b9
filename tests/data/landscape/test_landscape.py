import dataclasses

import numpy as np
import pytest

from mapsr.data.landscape import Canvas, Cover, draw_landscape
from mapsr.data.landscape.canvas import Rectangle
from mapsr.data.landscape.rendering import cast_shadows
from mapsr.data.landscape.settlement import Roof, Settlement


@pytest.fixture(scope="module")
def landscape():
    return draw_landscape(Canvas(230, 271, 40), np.random.default_rng(77))


def test_arrays_have_the_shape_of_the_canvas(landscape):
    assert landscape.image.shape == (4, 310, 351)
    assert landscape.cover().shape == landscape.earlier_cover().shape == (310, 351)


def test_the_same_generator_draws_the_same(landscape):
    again = draw_landscape(Canvas(230, 271, 40), np.random.default_rng(77))
    assert np.array_equal(again.image, landscape.image)
    assert np.array_equal(again.cover(), landscape.cover())


def test_change_is_felled_wood_and_young_houses_only(landscape):
    now, then = landscape.cover(), landscape.earlier_cover()
    felled, young = landscape.woods.cleared, landscape.place.recent
    changed = now != then
    assert changed.any()
    assert not changed[~felled & ~young].any()
    assert (then[felled] == Cover.TREE).all()
    assert (changed & felled).sum() > 300
    built = young & (now == Cover.IMPERVIOUS) & ~felled
    assert built.sum() > 100
    assert np.isin(then[built], (Cover.LOW, Cover.BARREN)).all()


def test_the_tallest_thing_covers_a_pixel(landscape):
    cover, place, woods = landscape.cover(), landscape.place, landscape.woods
    crowns = woods.height > place.height
    assert (cover[crowns] == Cover.TREE).all()
    assert (cover[(place.roof > 0) & ~crowns] == Cover.IMPERVIOUS).all()
    assert np.array_equal(woods.crown >= 0, woods.height > 0)


def test_no_tree_is_rooted_in_water_or_on_roofs(landscape):
    trunk = landscape.woods.height > 14  # only the top of a crown is so high
    assert trunk.any()
    assert not (trunk & (landscape.terrain.shore < -4)).any()
    assert not (trunk & (landscape.place.roof > 0)).any()


def test_a_bridge_crosses_the_river(landscape):
    bridge = landscape.terrain.water & (landscape.cover() == Cover.ROAD)
    assert 100 < bridge.sum() < 0.2 * landscape.terrain.water.sum()


def test_shadows_fall_to_the_south_east():
    surface = np.zeros((7, 9), dtype=np.float32)
    surface[1, 2] = 5
    # a ray falls 1.63 m per diagonal step: 3.4 m, 1.7 m, 0.1 m above the ground
    assert np.argwhere(cast_shadows(surface)).tolist() == [[2, 3], [3, 4]]


def test_level_ground_casts_no_shadow():
    assert not cast_shadows(np.full((5, 8), 20, dtype=np.float32)).any()
    assert not cast_shadows(np.zeros((5, 8), dtype=np.float32)).any()


def test_the_sunlit_side_of_a_roof_faces_north_west():
    place = Settlement(Canvas(30, 41, 0))
    place.build(Rectangle((0, 0), 16, 10, 0.0), Roof.RED, 8.0, recent=False)
    assert (place.roof > 0).sum() == 10 * 17
    assert (place.facing[10:14, 20] > 0.6).all()  # the ridge runs east: north is up
    assert (place.facing[16:19, 20] < -0.6).all()
    assert place.height.max() == pytest.approx(8, abs=0.2)
    assert place.height[10, 20] < place.height[14, 20]


def test_a_flat_roof_is_level():
    place = Settlement(Canvas(30, 41, 0))
    place.build(Rectangle((0, 0), 16, 10, 0.4), Roof.GREY, 7.0, flat=True, recent=True)
    assert set(np.unique(place.height)) == {0, 7}
    assert not place.facing.any()
    assert np.array_equal(place.recent, place.roof > 0)


def test_shadow_darkens_what_lies_in_it(landscape):
    surface = np.where(
        landscape.woods.height > landscape.place.height,
        landscape.woods.height,
        landscape.place.height,
    )
    lawn = (landscape.cover() == Cover.LOW) & ~landscape.woods.wood
    shade = cast_shadows(surface)
    infrared = landscape.image[3]
    assert np.median(infrared[lawn & shade]) < 0.65 * np.median(infrared[lawn & ~shade])


def test_landscape_is_frozen(landscape):
    with pytest.raises(dataclasses.FrozenInstanceError):
        landscape.image = landscape.image[:3]
