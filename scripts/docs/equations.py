"""Equations of the documentation as MathML: no script draws them, and none is fetched."""

from latex2mathml.converter import convert


def as_mathml(source: str, *, block: bool = False) -> str:
    """Turn LaTeX into MathML, on a line of its own where ``block``.

    Raises:
        ValueError: the source has a command or alignment that would stand there as it is.
    """
    found: str = convert(source.strip(), display="block" if block else "inline")
    if "\\" in found or ">&amp;<" in found:
        raise ValueError(f"An equation can't be read: {source.strip()}")
    return found
