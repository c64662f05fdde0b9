"""Bars of classes, drawn as SVG that stands in a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from mapsr.report.figures import Color
from mapsr.report.markup import tag

_NAMES_PX, _BARS_PX, _VALUES_PX = 170, 400, 150
_BAR_PX, _GAP_PX = 16, 12
_LETTERS = 22


@dataclass(frozen=True)
class Share:
    """What a class holds, by what was asked.

    Attributes:
        name: of the class.
        color: of the class.
        per_cent: of each source, 0 to 100; None where it is not known.
        hectares: of each source; None where it is not known.
    """

    name: str
    color: Color
    per_cent: tuple[float | None, ...]
    hectares: tuple[float | None, ...]


def bars(title: str, sources: Sequence[str], shares: Sequence[Share]) -> Element:
    """Draw a bar for each class and source, and write the share behind it.

    Args:
        title: what is drawn, for those who can't see it.
        sources: what the shares are of, such as "map" and "product".
        shares: of the classes, with a value for each source.
    """
    group = len(sources) * (_BAR_PX + 2) + _GAP_PX
    height, width = len(shares) * group + _GAP_PX, _NAMES_PX + _BARS_PX + _VALUES_PX
    known = [value for share in shares for value in share.per_cent if value is not None]
    longest = max([*known, 1e-9])
    chart = tag(
        "svg",
        tag("title", title),
        class_="chart",
        role="img",
        viewBox=f"0 0 {width} {height}",
        aria_label=f"{title}: {_spoken(sources, shares)}",
    )
    for number, share in enumerate(shares):
        top = _GAP_PX + number * group
        middle = top + (group - _GAP_PX) / 2
        chart.append(_text(_NAMES_PX - 10, middle, _short(share.name), "end"))
        for place, (source, value) in enumerate(zip(sources, share.per_cent, strict=True)):
            if value is None:
                continue
            at = top + place * (_BAR_PX + 2)
            length = _BARS_PX * value / longest
            chart.append(_bar(at, length, share.color, first=place == 0))
            words = f"{value:.1f} % {source}" if len(sources) > 1 else f"{value:.1f} %"
            chart.append(_text(_NAMES_PX + length + 8, at + _BAR_PX / 2, words, "start"))
    return chart


def swatch(color: Color) -> Element:
    """A square of a colour, for legends."""
    square = tag("rect", width="14", height="14", fill=_hex(color), stroke="#333")
    return tag("svg", square, width="14", height="14", aria_hidden="true")


def _bar(top: float, length: float, color: Color, *, first: bool) -> Element:
    """The first source's bar is full, the others' are dashed: told apart without colour."""
    return tag(
        "rect",
        x=str(_NAMES_PX),
        y=f"{top:g}",
        width=f"{max(length, 1):.1f}",
        height=str(_BAR_PX),
        fill=_hex(color),
        fill_opacity="1" if first else "0.35",
        stroke="#333",
        **({} if first else {"stroke_dasharray": "4 2"}),
    )


def _text(x: float, y: float, words: str, anchor: str) -> Element:
    return tag(
        "text", words, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, dominant_baseline="central"
    )


def _spoken(sources: Sequence[str], shares: Sequence[Share]) -> str:
    """All values in words."""
    parts = []
    for share in shares:
        each = [
            f"{source} {value:.1f} per cent"
            for source, value in zip(sources, share.per_cent, strict=True)
            if value is not None
        ]
        parts.append(f"{share.name}: {', '.join(each)}")
    return "; ".join(parts)


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
