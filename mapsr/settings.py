"""Choices: which frozen dataclass stands behind each choice of a configuration group.

A settings class sits beside the code that it configures and registers itself here. The command line
offers its fields as keys (``conf/`` holds only what differs from the defaults) and converts the
composed configuration into it at the door, so that nothing inside the package sees a DictConfig.

The settings of a whole command are a frozen dataclass too: its fields made by ``group`` are groups
of the configuration, the others are keys of their own. ``plain`` turns any settings into what YAML
and JSON hold; ``typed`` and ``chosen`` go the other way.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from mapsr.errors import ConfigError, require_choice

Settings = TypeVar("Settings")
Plain = dict[str, Any]
"""Settings as plain containers: mappings, lists, texts, numbers, true, false and null."""

CHOICES: dict[str, dict[str, type]] = {}
"""Group name -> kind -> frozen dataclass."""

_GROUP = "group"
_ASIDE = "aside"
MISSING = "???"
"""Value of a key that has to be given."""


def choice(group: str, kind: str) -> Callable[[type[Settings]], type[Settings]]:
    """Register a frozen settings dataclass as one kind of a configuration group.

    Raises:
        ConfigError: another class has that kind already.
    """

    def register(cls: type[Settings]) -> type[Settings]:
        known = CHOICES.setdefault(group, {}).setdefault(kind, cls)
        if known is not cls:
            raise ConfigError(
                f"{cls.__module__} brings {group}.kind={kind}, which {known.__module__} has "
                "already: give it another name, or remove one of the two."
            )
        return cls

    return register


def group(*, optional: bool = False) -> Any:  # noqa: ANN401 - stands for any field
    """Make a field of a command's settings a group of the configuration.

    Args:
        optional: the group may be absent, which is None.
    """
    metadata = {_GROUP: True}
    return (
        dataclasses.field(default=None, metadata=metadata)
        if optional
        else dataclasses.field(metadata=metadata)
    )


def aside(default: object) -> Any:  # noqa: ANN401 - stands for any field
    """Make a field that says where things are or how fast they go: results don't depend on it."""
    return dataclasses.field(default=default, metadata={_ASIDE: True})


def groups_of(cls: type) -> tuple[str, ...]:
    """Names of the groups of a command's settings."""
    return tuple(f.name for f in dataclasses.fields(cls) if _GROUP in f.metadata)


def optional_groups(cls: type) -> tuple[str, ...]:
    """Names of the groups that may be absent."""
    fields = (f for f in dataclasses.fields(cls) if _GROUP in f.metadata)
    return tuple(f.name for f in fields if f.default is not dataclasses.MISSING)


def keys_of(cls: type) -> dict[str, "dataclasses.Field[Any]"]:
    """The fields of a command's settings that are not groups, by name."""
    return {f.name: f for f in dataclasses.fields(cls) if _GROUP not in f.metadata}


def defaults_of(fields: Iterable["dataclasses.Field[Any]"]) -> Plain:
    """Default of each field, "???" where a value has to be given."""
    missing = dataclasses.MISSING
    return {f.name: MISSING if f.default is missing else f.default for f in fields}


def settings_class(group: str, kind: str) -> type:
    """Return the settings class of ``group.kind``.

    Raises:
        ConfigError: the group has no such kind.
    """
    kinds = CHOICES.get(group, {})
    return kinds[require_choice(kind, kinds, f"{group}.kind")]


def kind_of(settings: object) -> str:
    """Return the kind under which the class of ``settings`` is registered."""
    for kinds in CHOICES.values():
        for kind, cls in kinds.items():
            if type(settings) is cls:
                return kind
    raise KeyError(f"{type(settings).__name__} is not registered")


def plain(settings: object) -> Any:  # noqa: ANN401 - as deep as the settings are
    """Turn settings into plain containers; a choice of a group gets its kind as a first key."""
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        values = {f.name: plain(getattr(settings, f.name)) for f in dataclasses.fields(settings)}
        registered = any(type(settings) in kinds.values() for kinds in CHOICES.values())
        return {"kind": kind_of(settings)} | values if registered else values
    if isinstance(settings, Mapping):
        return {str(key): plain(value) for key, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [plain(value) for value in settings]
    return settings


def values_of(settings: object) -> Plain:
    """Settings of a group as plain containers, without their kind."""
    return {key: value for key, value in plain(settings).items() if key != "kind"}


def content_of(settings: object) -> Plain:
    """Settings of a group as plain containers, without what results don't depend on."""
    fields = dataclasses.fields(cast(Any, settings))
    left_out = {f.name for f in fields if _ASIDE in f.metadata}
    return {key: value for key, value in plain(settings).items() if key not in left_out}


def chosen(group: str, values: Mapping[str, Any] | None) -> Any:  # noqa: ANN401 - any settings class
    """Make the settings of a group from plain containers with their kind.

    Raises:
        ConfigError: the kind is unknown or missing, a key is unknown, a value of another type or
            missing, or the class refuses it.
    """
    if not isinstance(values, Mapping) or "kind" not in values:
        raise ConfigError(f"{group} is {values!r}, expected a choice of {group}= with its kind.")
    rest = {key: value for key, value in values.items() if key != "kind"}
    return typed(settings_class(group, values["kind"]), rest, group)


def typed(cls: type[Settings], values: Mapping[str, Any], where: str) -> Settings:
    """Make a frozen settings class from plain values, with their types checked.

    Args:
        cls: the class.
        values: by field.
        where: what the keys are below, for errors; "" for nothing.

    Raises:
        ConfigError: a key is unknown, a value of another type or missing, or the class refuses it.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for key, value in values.items():
        if value == MISSING:
            name = f"{where}.{key}".lstrip(".")
            raise ConfigError(f"{name} has no value: give {name}=... .")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(cls), dict(values))
        return cast(Settings, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        key = ".".join(part for part in (where, str(error.full_key or "")) if part)
        line = str(error).strip().splitlines()[0].rstrip(".")
        raise ConfigError(f"{key}: {line}." if key else f"{line}.") from error


def assembled(cls: type[Settings], config: Mapping[str, Any]) -> Settings:
    """Make the settings of a command from plain containers: its groups, and its own keys.

    Raises:
        ConfigError: as ``chosen`` and ``typed`` do.
    """
    optional = optional_groups(cls)
    groups = {
        name: None
        if config.get(name) is None and name in optional
        else chosen(name, config.get(name))
        for name in groups_of(cls)
    }
    keys = keys_of(cls)
    own = dataclasses.make_dataclass(
        cls.__name__,
        [(f.name, f.type, dataclasses.field(default=f.default)) for f in keys.values()],
        frozen=True,
        kw_only=True,
    )
    rest = {key: value for key, value in config.items() if key not in groups}
    return cls(**groups, **vars(typed(own, defaults_of(keys.values()) | rest, "")))
