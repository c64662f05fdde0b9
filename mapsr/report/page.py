"""A run or a map as one page: an HTML file that needs no server, no network, no other file."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from xml.etree.ElementTree import Element

from mapsr.legends import Legend
from mapsr.report.charts import Share, bars, swatch
from mapsr.report.encoding import ramp_color
from mapsr.report.figures import NODATA_COLOR
from mapsr.report.markup import Child, document, table, tag
from mapsr.report.viewer import viewer
from mapsr.report.views import RIGHT_AND_WRONG, View

Rows = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Areas:
    """What the classes hold.

    Attributes:
        title: what was measured.
        sources: such as "map" and "product".
        shares: of each class, by source.
        note: how it was measured.
    """

    title: str
    sources: tuple[str, ...]
    shares: tuple[Share, ...]
    note: str


@dataclass(frozen=True)
class Table:
    """A table of a page; the first cell of a row names it."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    diagonal: bool = False
    """Mark the cells in which a row meets the column of its name."""


@dataclass(frozen=True)
class Facts:
    """Part of a page that says how something was made.

    Attributes:
        title: of the part.
        rows: what is known, by name.
        text: as it is, below; "": none.
        tables: below that.
    """

    title: str
    rows: Rows = ()
    text: str = ""
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Page:
    """What a page shows.

    Attributes:
        title: of the page.
        summary: its first lines.
        warnings: what the reader must know.
        views: of maps.
        legend: of the maps.
        sure: low and high end of the confidence that is shown, and what it is; None: none is.
        errors: whether errors are shown.
        areas: of the classes.
        accuracy: tables of scores.
        accuracy_note: how they came about; "" without any.
        facts: settings and provenance.
        command: repeats it; "": not known.
        version: of mapsr that wrote the page.
    """

    title: str
    summary: tuple[str, ...]
    warnings: tuple[str, ...]
    views: tuple[View, ...]
    legend: Legend
    sure: tuple[float, float, str] | None
    errors: bool
    areas: tuple[Areas, ...]
    accuracy: tuple[Table, ...]
    accuracy_note: str
    facts: tuple[Facts, ...]
    command: str
    version: str


def page_html(page: Page) -> str:
    """Return a page as HTML; the same content gives the same text.

    Nothing in it is fetched: its policy forbids all but the pictures, the style and the script that
    stand in it. Names are escaped.
    """
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", page.title),
        _raw("style", style),
    )
    sections = _sections(page)
    links = (tag("a", title, href=f"#{name}") for name, title, _ in sections)
    main = tag("main", tag("h1", page.title), *(tag("p", line) for line in page.summary))
    main.extend(tag("p", f"Warning: {line}", class_="warning") for line in page.warnings)
    main.append(tag("nav", *links, aria_label="Parts of this page"))
    for name, title, content in sections:
        main.append(tag("section", tag("h2", title, id=name), *content, aria_labelledby=name))
    foot = tag("p", f"Written by mapsr {page.version}. This file needs no network.", class_="quiet")
    body = tag("body", main, tag("footer", foot), _raw("script", script))
    return document(tag("html", head, body, lang="en"))


def _sections(page: Page) -> list[tuple[str, str, list[Element]]]:
    """Anchor, title and content of the parts that there are."""
    found = []
    if page.views:
        views = [viewer(view, number) for number, view in enumerate(page.views)]
        found.append(("maps", "Map", [_legend(page), *views]))
    if page.areas:
        found.append(("areas", "Areas of the classes", _areas(page.areas)))
    if page.accuracy:
        note = tag("p", page.accuracy_note)
        found.append(("accuracy", "Accuracy", [note, *map(_table, page.accuracy)]))
    for number, facts in enumerate(page.facts):
        found.append((f"facts-{number}", facts.title, _facts(facts)))
    if page.command:
        found.append(("command", "The command that repeats it", [tag("pre", page.command)]))
    return found


def _legend(page: Page) -> Element:
    entries = list(zip(page.legend.names, page.legend.colors, strict=True))
    entries.append(("no data", NODATA_COLOR))
    if page.sure:
        low, high, words = page.sure
        entries += [
            (f"{words} {low + share * (high - low):.2g}", ramp_color(share))
            for share in (0, 0.5, 1)
        ]
    if page.errors:
        entries += [(one.name, one.color) for one in RIGHT_AND_WRONG.classes]
    return tag(
        "ul",
        *(tag("li", swatch(color), name) for name, color in entries),
        class_="legend",
        aria_label="Legend",
    )


def _areas(areas: Sequence[Areas]) -> list[Element]:
    found = []
    for one in areas:
        heads = ["class"]
        with_ha = [
            any(share.hectares[i] is not None for share in one.shares)
            for i in range(len(one.sources))
        ]
        for source, hectares in zip(one.sources, with_ha, strict=True):
            heads += [f"{source}, ha"] * hectares + [f"{source}, %"]
        rows: list[list[Child]] = []
        for share in one.shares:
            row: list[Child] = [share.name]
            for place, hectares in enumerate(with_ha):
                row += [_number(share.hectares[place], 2)] * hectares
                row.append(_number(share.per_cent[place], 2))
            rows.append(row)
        found += [tag("h3", one.title), bars(one.title, one.sources, one.shares)]
        found += [table(heads, rows, one.note)]
    return found


def _table(one: Table) -> Element:
    rows: list[list[Child]] = []
    for first, *rest in one.rows:
        cells = [
            tag("td", cell, class_="hit") if one.diagonal and head == first else tag("td", cell)
            for head, cell in zip(one.heads[1:], rest, strict=True)
        ]
        rows.append([first, *cells])
    return table(one.heads, rows, one.caption)


def _facts(facts: Facts) -> list[Element]:
    found = []
    if facts.rows:
        found.append(table(("what", "value"), facts.rows, class_="words"))
    if facts.text:
        found.append(tag("details", tag("summary", "All of them, as YAML"), tag("pre", facts.text)))
    return found + [_table(one) for one in facts.tables]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _raw(name: str, text: str) -> Element:
    """A style or script of our own, which is not escaped."""
    element = Element(name)
    element.text = text
    return element


def _asset(name: str) -> str:
    return (files("mapsr.report") / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def shares_of(
    legend: Legend,
    per_cent: Mapping[str, Sequence[float | None]],
    hectares: Mapping[str, Sequence[float | None]],
) -> tuple[Share, ...]:
    """Put the shares of each class together.

    Args:
        legend: of the map.
        per_cent: of each source the share of each class, 0 to 100.
        hectares: of each source the hectares of each class; a source may be left out.
    """
    nothing: Sequence[float | None] = [None] * len(legend)
    return tuple(
        Share(
            one.name,
            one.color,
            tuple(per_cent[source][index] for source in per_cent),
            tuple(hectares.get(source, nothing)[index] for source in per_cent),
        )
        for index, one in enumerate(legend.classes)
    )
