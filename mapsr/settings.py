"""Choices: which frozen dataclass stands behind each choice of a configuration group.

A settings class sits beside the code it configures and registers itself here. The command line
offers its fields as keys (``conf/`` holds only what differs from the defaults) and converts the
composed configuration into it at the door, so that nothing inside the package sees a DictConfig.
"""

from collections.abc import Callable
from typing import TypeVar

from mapsr.errors import require_choice

Settings = TypeVar("Settings")

CHOICES: dict[str, dict[str, type]] = {}
"""Group name -> kind -> frozen dataclass."""


def choice(group: str, kind: str) -> Callable[[type[Settings]], type[Settings]]:
    """Register a frozen settings dataclass as one kind of a configuration group."""

    def register(cls: type[Settings]) -> type[Settings]:
        CHOICES.setdefault(group, {})[kind] = cls
        return cls

    return register


def settings_class(group: str, kind: str) -> type:
    """Return the settings class of ``group.kind``.

    Raises:
        ConfigError: the group has no such kind.
    """
    return CHOICES[group][require_choice(kind, CHOICES[group], f"{group}.kind")]


def kind_of(settings: object) -> str:
    """Return the kind under which the class of ``settings`` is registered."""
    for kinds in CHOICES.values():
        for kind, cls in kinds.items():
            if type(settings) is cls:
                return kind
    raise KeyError(f"{type(settings).__name__} is not registered")
