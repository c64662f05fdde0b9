"""Markup of a view: two layers with a swipe between them, and buttons for what the mouse does."""

from xml.etree.ElementTree import Element

from mapsr.geo import Window
from mapsr.report.markup import tag
from mapsr.report.views import View

_KEYS = (
    "Map of {title}, two layers side by side. Arrow keys move it, plus and minus zoom, 0 shows the "
    "whole map, 1 real pixels, comma and full stop move the divider."
)


def viewer(view: View, number: int) -> Element:
    """Make the section of a view.

    Args:
        view: what is shown.
        number: of the view in its page.
    """
    names = [layer.name for layer in view.layers]
    first = names.index("map") if "map" in names else len(names) - 1
    stage = tag(
        "div",
        class_="stage",
        tabindex="0",
        role="group",
        aria_label=_KEYS.format(title=view.title),
        data_height=str(view.height),
        data_width=str(view.width),
        **({"data_pixel": f"{view.pixel_m:g}"} if view.pixel_m else {}),
    )
    for layer in view.layers:
        whole = tag("img", src=layer.overview, alt=f"{layer.name} of {view.title}", class_="whole")
        parts = (
            tag("img", src=uri, alt=f"{layer.name} of {view.title}, {_place(place)}", class_="part")
            for uri, place in zip(layer.parts, view.places, strict=True)
        )
        stage.append(tag("figure", whole, *parts, tag("figcaption", layer.name)))
    heading = tag("h3", view.title, id=f"view-{number}")
    size = f"{view.height} x {view.width} pixels"
    size += f" of {view.pixel_m:g} m." if view.pixel_m else "."
    if view.places:
        size += " Real pixels are shown inside the white frames, an overview elsewhere."
    return tag(
        "section",
        heading,
        tag("p", size, class_="quiet"),
        _tools(view, names, first, number),
        stage,
        tag("p", class_="quiet status tools", role="status"),
        class_="viewer",
        aria_labelledby=f"view-{number}",
    )


def _tools(view: View, names: list[str], first: int, number: int) -> Element:
    swipe = tag(
        "input", type="range", min="0", max="100", value="50", step="1", id=f"swipe-{number}"
    )
    buttons = [
        tag("button", words, type="button", data_action=action)
        for words, action in (
            ("Whole map", "whole"),
            ("Real pixels", "real"),
            ("Zoom in", "in"),
            ("Zoom out", "out"),
        )
    ]
    buttons += [
        tag("button", f"Place {index}", type="button", data_place=_numbers(place))
        for index, place in enumerate(view.places, 1)
    ]
    return tag(
        "div",
        tag(
            "div",
            tag("label", "Left", _choice(names, names.index("image") if "image" in names else 0)),
            tag("label", "Swipe", swipe, class_="swipe"),
            tag("label", "Right", _choice(names, first)),
            class_="bar",
        ),
        tag("div", *buttons, class_="bar"),
        class_="tools",
    )


def _choice(names: list[str], chosen: int) -> Element:
    options = (
        tag("option", name, **({"selected": "selected"} if index == chosen else {}))
        for index, name in enumerate(names)
    )
    return tag("select", *options)


def _numbers(place: Window) -> str:
    return f"{place.row} {place.col} {place.height} {place.width}"


def _place(place: Window) -> str:
    return f"rows {place.row} to {place.row + place.height - 1}, columns {place.col} to " + str(
        place.col + place.width - 1
    )
