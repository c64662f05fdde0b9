"""Keys of the command line: which of them hold text, and what they were called before."""

import re
from collections.abc import Callable, Sequence
from typing import get_args

from mapsr.errors import ConfigError
from mapsr.settings import CHOICES, keys_of

RENAMED = {
    "trainer.accelerator": "compute.device",
    "trainer.precision": "compute.precision",
    "engine.batch": "compute.batch",
    "engine.memory_mib": "compute.memory_mib",
    "trainer": "compute",
}
"""Keys of earlier versions and what they are called now; to be removed with version 0.3."""

_PROGRAM = re.compile(r"_target_['\"]?\s*:")
"""A mapping that names what to run; a path may hold the word."""


def settled(overrides: Sequence[str], tell: Callable[[str], None]) -> list[str]:
    """Give overrides the form that Hydra takes; those that have it stay as they are.

    Earlier names become present ones, product_prior=S is written out, and what would run a program
    is refused.

    Args:
        overrides: as key=value.
        tell: takes a line for each that was renamed.

    Raises:
        ConfigError: one sets a ``_target_`` or a callback.
    """
    refuse_programs(overrides)
    return _expanded(_renamed(overrides, tell))


def _renamed(overrides: Sequence[str], tell: Callable[[str], None]) -> list[str]:
    found = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if equals and key in RENAMED:
            tell(f"{key}= is called {RENAMED[key]}= now")
            override = f"{RENAMED[key]}={value}"
        found.append(override)
    return found


def _expanded(overrides: Sequence[str]) -> list[str]:
    """Write product_prior=S out: the choice that has such a strength, and the strength."""
    found = []
    chosen = any(one.startswith(("prior=", "fitted=")) for one in overrides)
    for override in overrides:
        value = override.removeprefix("product_prior=")
        if value == override:
            found.append(override)
        else:
            found += [*([] if chosen else ["prior=product"]), f"prior.strength={value}"]
    return found


def refuse_programs(overrides: Sequence[str]) -> None:
    """Refuse overrides that would run a program.

    Raises:
        ConfigError: one sets a ``_target_`` or a callback.
    """
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        callback = key.startswith(("hydra.callbacks", "hydra/callbacks"))
        if callback or "_target_" in key or _PROGRAM.search(value):
            raise ConfigError(
                f"'{override}' would run a program of its own choice, which no setting of mapsr "
                "may; leave it out (a plug-in is installed instead, see docs/extending.md)."
            )


def is_text(key: str) -> bool:
    """Tell whether a key of a command, or of a choice of a group, holds text."""
    from mapsr.experiment import RunSettings

    group, _, rest = key.partition(".")
    if not rest:
        own = keys_of(RunSettings)
        return key in own and _holds_text(own[key].type)
    kinds = CHOICES.get(group, {}).values()
    fields = (kind.__dataclass_fields__.get(rest) for kind in kinds)  # type: ignore[attr-defined]
    return any(field is not None and _holds_text(field.type) for field in fields)


def _holds_text(kind: object) -> bool:
    return kind is str or str in get_args(kind)
