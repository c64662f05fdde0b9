"""Findings: what was looked at, what was found, and how to mend it; and numbers in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: what was looked at.
        text: what was found.
        remedy: how to mend it where the command in question can't work without, else None.
    """

    topic: str
    text: str
    remedy: str | None = None


def percent(share: float) -> str:
    """A share from 0 to 1 in percent, in which neither a little is nothing nor most is all."""
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0.999 < share < 1:
        return "over 99.9 %"
    return f"{100 * share:.3g} %"


def duration(seconds: float) -> str:
    """A time in the unit that people would say it in."""
    for limit, unit, length in ((90, "s", 1), (5400, "minutes", 60), (172_800, "hours", 3600)):
        if seconds < limit:
            return f"{_short(seconds / length)} {unit}"
    return f"{_short(seconds / 86_400)} days"


def volume(size_bytes: float) -> str:
    """An amount of memory or disk."""
    for limit, unit, length in ((1 << 20, "KiB", 1 << 10), (1 << 30, "MiB", 1 << 20)):
        if size_bytes < limit:
            return f"{size_bytes / length:.0f} {unit}"
    return f"{size_bytes / (1 << 30):.1f} GiB"


def pixels(count: float) -> str:
    """A number of pixels."""
    return f"{count / 1e6:.3g} Mpx" if count < 1e9 else f"{count / 1e9:.3g} Gpx"


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of the items, drawn evenly."""
    count = min(len(items), most)
    return [items[index * len(items) // count] for index in range(count)]


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
