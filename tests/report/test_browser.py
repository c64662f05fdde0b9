"""A page in a real browser, from the disk and without a network."""

import shutil

import pytest
from make_pages import small_page

from mapsr.report.page import page_html

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A large map's page in a headless Chromium; what it asked for and what went wrong in it."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright: pip install --group browser"
    )
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"needs a browser, one of {', '.join(NAMES)}: apt-get install chromium")
    folder = tmp_path_factory.mktemp("browser")
    (folder / "page.html").write_text(page_html(small_page(folder, 1500, 1300)), encoding="utf-8")
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        asked, wrong = [], []
        page.on("request", lambda one: asked.append(one.url))
        page.on("pageerror", lambda one: wrong.append(str(one)))
        page.on("console", lambda one: wrong.append(one.text) if one.type == "error" else None)
        page.on("dialog", lambda one: (wrong.append(one.message), one.dismiss()))
        page.goto((folder / "page.html").as_uri())
        yield page, asked, wrong
        browser.close()


def zoom_of(page):
    return float(page.locator(".stage").get_attribute("data-zoom"))


def clip_of(page, index):
    return page.locator(".stage figure").nth(index).evaluate("one => one.style.clipPath")


def test_a_page_works_in_a_browser_without_a_network(shown):
    page, asked, wrong = shown
    assert [one for one in asked if not one.startswith(("file:", "data:"))] == []
    assert page.locator("img").evaluate_all("all => all.every(one => one.naturalWidth > 0)")
    stage = page.locator(".stage")
    assert 0 < zoom_of(page) < 1  # the whole map fits
    page.get_by_role("button", name="Real pixels").click()
    assert zoom_of(page) == 1
    whole = page.locator(".stage figure.shown img.whole").first
    assert whole.evaluate("one => [one.offsetWidth, one.offsetHeight]") == [1300, 1500]
    page.get_by_role("button", name="Place 1").click()
    part = page.locator(".stage figure.shown img.part").first
    seen = part.evaluate("one => one.offsetWidth / one.naturalWidth")
    assert seen == pytest.approx(zoom_of(page), rel=0.01)
    stage.focus()
    page.keyboard.press("0")
    assert zoom_of(page) < 1
    before = zoom_of(page)
    page.keyboard.press("+")
    assert zoom_of(page) == pytest.approx(1.5 * before)
    assert wrong == []


def test_the_swipe_moves_by_keyboard_and_by_mouse(shown):
    page, _, wrong = shown
    width = page.locator(".stage").evaluate("one => one.clientWidth")
    swipe = page.get_by_label("Swipe")
    swipe.focus()
    page.keyboard.press("Home")
    assert swipe.input_value() == "0"
    assert clip_of(page, 1) == "inset(0px)"  # the map, all over
    page.keyboard.press("End")
    assert clip_of(page, 1) == f"inset(0px 0px 0px {width}px)"
    for _ in range(50):
        page.keyboard.press("ArrowLeft")
    page.locator(".stage").scroll_into_view_if_needed()
    box = page.locator(".divider").bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 2 - width / 4, box["y"] + 50, steps=4)
    page.mouse.up()
    assert int(swipe.input_value()) == pytest.approx(25, abs=1)
    page.get_by_label("Right").select_option("image")
    assert page.locator(".stage figure.shown").count() == 1
    page.get_by_label("Right").select_option("map")
    assert page.locator(".stage figure.shown").count() == 2
    assert wrong == []
