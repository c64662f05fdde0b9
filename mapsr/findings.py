"""Findings: what was checked, what was found and how to fix it; and numbers for people to read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        topic: what was checked.
        text: what was found.
        remedy: how to fix it where the command in question can't work otherwise, else None.
    """

    topic: str
    text: str
    remedy: str | None = None


def percent(share: float) -> str:
    """Format a share from 0 to 1 in percent; what is not 0 or 1 is never shown as 0 % or 100 %."""
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0.999 < share < 1:
        return "over 99.9 %"
    return f"{100 * share:.3g} %"


def duration(seconds: float) -> str:
    """Format a time in its natural unit."""
    for limit, unit, length in ((90, "s", 1), (5400, "minutes", 60), (172_800, "hours", 3600)):
        if seconds < limit:
            return f"{_short(seconds / length)} {unit}"
    return f"{_short(seconds / 86_400)} days"


def volume(size_bytes: float) -> str:
    """Format an amount of memory or disk space."""
    for limit, unit, length in ((1 << 20, "KiB", 1 << 10), (1 << 30, "MiB", 1 << 20)):
        if size_bytes < limit:
            return f"{size_bytes / length:.0f} {unit}"
    return f"{size_bytes / (1 << 30):.1f} GiB"


def pixels(count: float) -> str:
    """Format a number of pixels."""
    return f"{count / 1e6:.3g} Mpx" if count < 1e9 else f"{count / 1e9:.3g} Gpx"


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most ``most`` of the items, evenly spaced."""
    count = min(len(items), most)
    return [items[index * len(items) // count] for index in range(count)]


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
