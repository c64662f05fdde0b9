"""HTML from elements, in which every text and attribute is escaped by the library."""

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

Child = Element | str


def tag(name: str, /, *children: Child, **attributes: str) -> Element:
    """Make an element.

    Args:
        name: of the element.
        children: elements and texts, in their order.
        attributes: an underscore at the end is left out (``class_``), others become hyphens.
    """
    element = Element(name)
    for key, value in attributes.items():
        element.set(key.rstrip("_").replace("_", "-"), plain_text(value))
    for child in children:
        add(element, child)
    return element


def add(parent: Element, child: Child) -> None:
    """Put an element or a text behind what an element holds."""
    if not isinstance(child, str):
        parent.append(child)
    elif len(parent):
        parent[-1].tail = (parent[-1].tail or "") + plain_text(child)
    else:
        parent.text = (parent.text or "") + plain_text(child)


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[Child]],
    caption: str = "",
    class_: str = "",
) -> Element:
    """Make a table whose first column names the rows, in a box that scrolls where it is too wide.

    Args:
        heads: titles of the columns.
        rows: cells; those that are elements of kind td stay as they are.
        caption: above it; "": none.
        class_: of the table; "": none.
    """
    made = tag("table", **({"class_": class_} if class_ else {}))
    if caption:
        made.append(tag("caption", caption))
    made.append(tag("thead", tag("tr", *(tag("th", head, scope="col") for head in heads))))
    body = tag("tbody")
    for first, *rest in rows:
        cells = (
            one if not isinstance(one, str) and one.tag == "td" else tag("td", one) for one in rest
        )
        body.append(tag("tr", tag("th", first, scope="row"), *cells))
    made.append(body)
    return tag(
        "div", made, class_="scroll", tabindex="0", role="region", aria_label=caption or heads[0]
    )


def document(root: Element) -> str:
    """Return a page as text."""
    return (
        "<!DOCTYPE html>\n" + ElementTree.tostring(root, encoding="unicode", method="html") + "\n"
    )


def plain_text(text: str) -> str:
    r"""Return text in which controls and half surrogates, which no page can hold, are escaped."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(
        sign
        if sign in "\n\t" or sign.isprintable() or (sign.isspace() and ord(sign) >= 32)
        else ascii(sign)[1:-1]
        for sign in text
    )
