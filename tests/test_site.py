"""The documentation site: its generated pages; that it is whole and fetches nothing."""

import argparse
import importlib
import logging
import re
import sys
from html.parser import HTMLParser

import pytest
from documents import ROOT

from mapsr.cli.help import command_settings
from mapsr.cli.main import parser
from mapsr.reference import choices, command_keys
from mapsr.settings import CHOICES

SCRIPTS = ROOT / "scripts" / "docs"
sys.path.insert(0, str(SCRIPTS))

from pages import commands_page, groups_page, keys_page, notebook_page, room_pages  # noqa: E402


def test_every_command_is_described_from_its_parser():
    page = commands_page(parser())
    for head in ("## mapsr run", "## mapsr map", "### mapsr weights fetch", "## mapsr completion"):
        assert f"\n{head}\n" in page
    assert "| `--folder FOLDER` | where runs lie (default: outputs)" in page
    assert "mapsr areas map.tif zones=districts.gpkg csv=areas.csv" in page  # its examples


def test_signs_of_markdown_in_texts_are_only_signs():
    one = argparse.ArgumentParser(
        "mapsr", description="A <pattern> tiles/*.tif of a_b, `x_*` kept."
    )
    one.add_argument("what", help="this | that")
    page = commands_page(one)
    assert r"A \<pattern\> tiles/\*.tif of a\_b, `x_*` kept." in page
    assert r"| `what` | this \| that |" in page


def test_every_key_is_listed_with_type_default_and_meaning():
    commands = command_settings()
    page = keys_page(commands)
    for name, cls in commands.items():
        assert f"\n## mapsr {name}\n" in page
        for key in command_keys(name, cls):
            assert f"| `{key.name}` | `{key.type}` | " in page, (name, key.name)
    assert "| `seed` | `int` | `0` | Of every random choice;" in page
    assert "| `image` | `str` | *has to be given* | A raster" in page
    assert "Groups: [method](groups.md#method)" in page


def test_every_choice_and_kind_of_a_group_is_listed():
    page = groups_page(command_settings())
    for group, kinds in CHOICES.items():
        assert f"\n## {group}\n" in page
        for one in choices(group):
            assert f"| `{one.name}` |" in page
        for kind in kinds:
            assert f"\n### {group}, kind {kind}\n" in page
    assert "| `prompts.temperature` | `float` | `3.3` |" in page


def test_rooms_offer_what_is_named_and_each_is_in_the_menu():
    pages = room_pages()
    menu = (SCRIPTS / "mkdocs.yml").read_text()
    assert {path for path in pages if f"reference/{path}\n" not in menu} == set()
    named = re.findall(r"^::: (mapsr\..+)\.(\w+)$", "\n".join(pages.values()), re.MULTILINE)
    assert len(named) > 100
    absent = [one for one in named if not hasattr(importlib.import_module(one[0]), one[1])]
    assert absent == []


def test_a_notebook_becomes_a_page_with_its_title_first():
    page = notebook_page(ROOT / "docs/notebooks/county.ipynb")
    assert page.startswith("# A county in a notebook\n")
    assert "(county.ipynb){ download }" in page and "```python\nimport json\n" in page


class Assets(HTMLParser):
    """Addresses that a browser fetches to show a page."""

    LINKS = (
        "stylesheet",
        "icon",
        "preload",
        "prefetch",
        "preconnect",
        "dns-prefetch",
        "modulepreload",
    )

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "link" and not {*(given.get("rel") or "").split()} & {*self.LINKS}:
            return
        if tag != "a":
            named = ("src", "srcset", "data", "poster", *(["href"] if tag == "link" else []))
            self.found += [given[name] for name in named if given.get(name)]


def fetched(site):
    """Pages and styles of a site with the addresses elsewhere that they load."""
    found = {}
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            assets = Assets()
            assets.feed(path.read_text())
            loads = assets.found
        elif path.suffix == ".css":
            loads = re.findall(r"(?:url\(|@import\s+)['\"]?([^'\")\s]+)", path.read_text())
        else:
            continue
        outside = [one for one in loads if re.match(r"(?:\w+:)?//", one)]
        if outside:
            found[path.relative_to(site).as_posix()] = outside
    return found


def test_what_a_page_would_fetch_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="https://a.org">x</a><script src="https://b.org/x.js"></script>'
        '<link rel="canonical" href="https://c.org"><link rel="stylesheet" href="//d.org/x.css">'
    )
    (tmp_path / "b.css").write_text("@import 'https://e.org/f.css'; a { b: url(https://g.org) }")
    assert fetched(tmp_path) == {
        "a.html": ["https://b.org/x.js", "//d.org/x.css"],
        "b.css": ["https://e.org/f.css", "https://g.org"],
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the packages that build it
def test_the_site_is_built_strictly_and_fetches_nothing(tmp_path):
    for package in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        pytest.importorskip(package, reason="needs what `make docs` installs (group docs)")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    config = load_config(str(SCRIPTS / "mkdocs.yml"), strict=True, site_dir=str(tmp_path / "site"))
    logging.getLogger("mkdocs").setLevel(logging.WARNING)
    build(config)
    site = tmp_path / "site"
    named = re.findall(r"([\w/-]+)\.md$", (SCRIPTS / "mkdocs.yml").read_text(), re.MULTILINE)
    assert len(named) > 30
    assert [one for one in named if not (site / f"{one}.html").is_file()] == []
    assert fetched(site) == {}
    method = (site / "method.html").read_text()
    assert method.count("<math") > 15 and "$`" not in method and "```math" not in method
    assert "prompts.temperature" in (site / "reference" / "groups.html").read_text()
    assert "Fit a method on a coarse product" in (site / "reference" / "api.html").read_text()
    for path in ("notebooks/county.ipynb", "images/overview.png", "reference/rooms/geo.html"):
        assert (site / path).is_file(), path
