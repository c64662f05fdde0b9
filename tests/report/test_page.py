"""Pages hold all that they need, nothing that runs but their own script, and real pixels."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from make_pages import EVIL, LEGEND, grid_of, small_page, write_map
from PIL import Image

from mapsr.geo import Window, image_info, write_raster
from mapsr.geo.thinning import draw_images, thinned
from mapsr.report.charts import bars
from mapsr.report.encoding import RAMP, labels_uri, ramp_color, values_uri
from mapsr.report.markup import plain_text
from mapsr.report.page import page_html, shares_of
from mapsr.report.views import PLACE_PX, PLACES, LabelLayer, choose_places, view_of


class Seen(HTMLParser):
    """Tags, their attributes, and the text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.scripts = [], "", 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def pixels_of(uri):
    data = base64.b64decode(uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    return page_html(small_page(tmp_path_factory.mktemp("page"), 60, 90))


def test_a_page_needs_no_other_file_and_runs_its_own_script_alone(html):
    seen = Seen(html)
    assert len(seen.all("script")) == len(seen.all("style")) == 1
    assert all(one["src"].startswith("data:image/") for one in seen.all("img"))
    assert not [tag for tag, _ in seen.tags if tag in ("link", "iframe", "object", "base")]
    assert all(one["href"].startswith("#") for one in seen.all("a"))
    assert "http://" not in html and "https://" not in html and "url(" not in html
    (policy,) = [one["content"] for one in seen.all("meta") if "http-equiv" in one]
    script = re.search(r"<script>(.*)</script>", html, re.DOTALL)[1]
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert policy.startswith("default-src 'none'")


def test_names_are_shown_as_text(html):
    seen = Seen(html)
    assert seen.text.count("<script>alert('x')</script>&\"'\\x07") >= 7
    assert not [attrs for _, attrs in seen.tags if any(key.startswith("on") for key in attrs)]
    assert plain_text("a\ud800\x00\nä") == "a\\ud800\\x00\nä"


def test_everything_on_a_page_has_a_name(html):
    seen = Seen(html)
    assert all(one["alt"] for one in seen.all("img"))
    assert len(seen.all("label")) == len(seen.all("select")) + len(seen.all("input"))
    ids = [attrs["id"] for _, attrs in seen.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    named = [attrs["aria-labelledby"] for _, attrs in seen.tags if "aria-labelledby" in attrs]
    assert set(named) <= set(ids) and {one["href"][1:] for one in seen.all("a")} <= set(ids)
    assert seen.all("html") == [{"lang": "en"}]


def test_text_stands_out_from_its_ground():
    # WCAG 2.1, contrast ratio of at least 4.5 for text
    def light(hexed):
        parts = [int(hexed[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    from mapsr.report.page import _asset

    style = _asset("page.css")
    for name in ("ink", "quiet", "mark"):
        color = re.search(rf"--{name}: (#[0-9a-f]{{6}})", style)[1]
        for ground in ("#ffffff", "#eef1f4", "#f3f5f7", "#e3f0e3"):
            assert (light(ground) + 0.05) / (light(color) + 0.05) >= 4.5, (name, ground)


def test_the_same_content_gives_the_same_page(html, tmp_path):
    assert page_html(small_page(tmp_path, 60, 90)) == html


def test_a_large_map_shows_real_pixels_in_places_and_stays_small(tmp_path):
    page = small_page(tmp_path, 2500, 1700)  # noise: nothing compresses worse
    (view,) = page.views
    assert len(page_html(page)) < 8e6
    assert 1 <= len(view.places) <= PLACES
    place = view.places[0]
    picture = pixels_of(view.layers[1].parts[0])
    assert picture.shape == (PLACE_PX, PLACE_PX, 3)
    labels = LabelLayer("map", (tmp_path / "map.tif",), grid_of(2500, 1700), LEGEND).read(place)
    for index, color in enumerate(LEGEND.colors):
        assert (picture[labels == index] == color).all()
    assert pixels_of(view.layers[1].overview).shape == (1200, 816, 3)


def test_places_are_where_classes_meet():
    labels = np.full((100, 80), 255, np.uint8)
    labels[:50] = 0
    labels[20, 30] = labels[21, 33] = 1
    grid = grid_of(10_000, 8_000)
    places = choose_places(labels, grid)
    first = next(one for one in places if one.contains(Window(2050, 3050, 1, 1)))
    assert grid.window.contains(first)
    assert not any(one.row >= 5500 for one in places)  # nothing is there
    assert choose_places(np.full((9, 9), 255, np.uint8), grid) == ()


def test_labels_and_values_have_the_colours_of_the_legend():
    labels = np.array([[0, 1, 255]], np.uint8)
    assert pixels_of(labels_uri(labels, LEGEND)).tolist() == [
        [[0, 0, 200], [0, 150, 0], [225, 225, 225]]
    ]
    values = np.array([[-5.0, 0.25, 9.0, np.nan]], np.float32)
    found = pixels_of(values_uri(values, 0.0, 1.0))[0].tolist()
    assert found[0] == list(RAMP[0]) and found[2] == list(RAMP[-1])
    assert found[3] == [225, 225, 225]
    assert np.abs(np.array(found[1]) - RAMP[1]).max() <= 2
    assert ramp_color(0.125) == (64, 42, 112)  # half-way between the first two


def test_images_are_drawn_where_they_lie(tmp_path):
    grid = grid_of(40, 60)
    values = np.arange(40 * 60, dtype=np.uint16).reshape(1, 40, 60)
    for name, part in (("left", Window(0, 0, 40, 30)), ("right", Window(0, 30, 40, 30))):
        rows, columns = part.slices
        write_raster(tmp_path / f"{name}.tif", values[:, rows, columns], grid.crop(part))
    infos = [image_info(tmp_path / f"{name}.tif") for name in ("left", "right")]
    image, valid = draw_images(infos, grid, 1, 2400.0)
    assert valid.all() and np.allclose(image * 2400, values)
    small = thinned(grid, 20)
    assert (small.height, small.width, small.bounds) == (13, 20, grid.bounds)
    image, valid = draw_images(infos[1:], small, 1, 2400.0)
    assert not valid[:, :9].any() and valid[:, 11:].all()
    apart = np.abs(image[0, :, 11:] * 2400 - values[0, 1::3, 31::3][:13, -9:]).max()
    assert apart <= 2 * 60 + 3  # a neighbour of the pixel in the middle
    assert thinned(grid, 60) == grid


def test_a_map_elsewhere_is_not_drawn(tmp_path):
    grid = write_map(tmp_path / "map.tif", np.zeros((30, 40), np.uint8))
    far = grid.crop(Window(100, 100, 30, 40))
    layer = LabelLayer("product", (tmp_path / "map.tif",), far, LEGEND)
    (drawn,) = view_of("far", far, [layer], layer).layers
    assert (pixels_of(drawn.overview) == 225).all()


def test_bars_are_as_long_as_their_shares():
    shares = shares_of(LEGEND, {"map": [10.0, 40.0], "product": [None, 20.0]}, {})
    chart = bars("Areas", ("map", "product"), shares)
    lengths = [float(one.get("width")) for one in chart.iter("rect")]
    assert lengths == [100.0, 400.0, 200.0]
    words = [one.text for one in chart.iter("text")]
    assert "10.0 % map" in words and "40.0 % map" in words and "20.0 % product" in words
    assert "water: map 10.0 per cent" in chart.get("aria-label")
    assert EVIL[:5] in chart.get("aria-label")
