"""From the command line's overrides to settings, with errors that help.

Hydra composes plain values: the defaults of the settings classes, then the files of ``conf/``
(only what differs), then the overrides. Here they become the frozen settings classes, so that
nothing behind this module sees a DictConfig.
"""

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import mapsr
from mapsr.errors import ConfigError, near_match
from mapsr.settings import CHOICES, settings_class

Settings = TypeVar("Settings")

_OUTER_COMMA = re.compile(r",(?![^{]*})(?![^\[]*])")
# Hydra's launchers that come with an extra.
_PLUGINS = ("joblib", "submitit_local", "submitit_slurm")


def conf_folder() -> Path:
    """The configuration files: inside an installed package, beside it in a checkout."""
    package = Path(mapsr.__file__).parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def split(overrides: Sequence[str], cls: type) -> tuple[dict[str, Any], list[str]]:
    """Take the overrides that belong to a settings class, with "???" for what it must have.

    Returns:
        Values by field, with the class's defaults; the overrides that are left.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}
    values = {name: _default(field) for name, field in fields.items()}
    left = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or key not in values:
            left.append(override)
        elif str in (kinds := get_args(fields[key].type) or (fields[key].type,)):
            # as it is: a pattern that begins with * is no text in YAML
            values[key] = None if value == "null" and type(None) in kinds else value
        else:
            values[key] = yaml.safe_load(value)
    return values, left


def compose(name: str, overrides: Sequence[str], also: Iterable[str] = ()) -> dict[str, Any]:
    """Compose ``conf/NAME.yaml`` with overrides into plain containers.

    Args:
        name: of the file.
        overrides: as Hydra takes them.
        also: keys that are read elsewhere, to be named where one is mistyped.

    Raises:
        ConfigError: an unknown key, group or choice (the nearest one is named), a malformed
            override, or a value that is missing.
    """
    overrides = [readable(override) for override in overrides]
    with session(), helpful(name, overrides, also):
        return plain(hydra_compose(name, overrides))


@contextmanager
def session() -> Iterator[None]:
    """Within it, Hydra composes from ``conf/`` and the settings classes."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder()), job_name="mapsr", version_base="1.3"):
        yield


@contextmanager
def helpful(name: str, overrides: Sequence[str], also: Iterable[str] = ()) -> Iterator[None]:
    """Within it and a session, what Hydra says of overrides becomes an error that helps.

    Raises:
        ConfigError: as ``compose`` does.
    """
    try:
        yield
    except MissingConfigException as error:
        raise ConfigError(_unknown_choice(overrides, error)) from error
    except (ConfigCompositionException, HydraException) as error:
        raise ConfigError(_unknown_key(name, overrides, error, also)) from error
    except OmegaConfBaseException as error:
        if own := _own(error):
            raise own from error
        raise ConfigError(f"The configuration can't be resolved: {_line(error)}.") from error


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a composed configuration as plain containers, resolved."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


def settings_of(config: Mapping[str, Any], group: str) -> Any:  # noqa: ANN401
    """Turn one composed group into its frozen settings class.

    Raises:
        ConfigError: a value of another type, a missing one, or one that the class refuses.
    """
    values = dict(config[group])
    cls = settings_class(group, values.pop("kind"))
    return typed(cls, values, group)


def typed(cls: type[Settings], values: Mapping[str, Any], where: str) -> Settings:
    """Make a frozen settings class from plain values, with their types checked.

    Raises:
        ConfigError: a value of another type, a missing one, or one that the class refuses.
    """
    for key, value in values.items():
        if value == "???":
            name = f"{where}.{key}".lstrip(".")
            raise ConfigError(f"{name} has no value: give {name}=... .")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(cls), dict(values))
        return cast(Settings, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        key = ".".join(part for part in (where, str(error.full_key or "")) if part)
        raise ConfigError(f"{key}: {_line(error)}.") from error


def register() -> None:
    """Tell Hydra of the settings classes and resolvers; again in each process that composes."""
    OmegaConf.register_new_resolver("shared", _shared, replace=True)
    store = ConfigStore.instance()
    for group, kinds in CHOICES.items():
        for kind, cls in kinds.items():
            defaults = {"kind": kind} | {f.name: _default(f) for f in dataclasses.fields(cls)}
            store.store(group=f"schema/{group}", name=kind, node=defaults)


def readable(override: str, sweep: bool = False) -> str:
    """Quote a value that Hydra's grammar does not take, such as a pattern with {scene}.

    Args:
        override: as key=value.
        sweep: commas outside of brackets separate values.

    Raises:
        ConfigError: it is no key=value.
    """
    key, equals, value = override.partition("=")
    if not key or not equals or key.startswith("~"):
        raise ConfigError(f"An override can't be read: '{override}' (expected key=value).")
    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        values = _OUTER_COMMA.split(value) if sweep else [value]
        quoted = ("'{}'".format(one.replace("'", "\\'")) for one in values)
        return f"{key}={','.join(quoted)}"
    return override


def _shared(below: str, *otherwise: str | None) -> str | None:
    """``${shared:PATH}``: a path below MAPSR_SHARED; ``${shared:PATH,null}``: null without it."""
    root = os.environ.get("MAPSR_SHARED")
    if root:
        return f"{root}/{below}"
    if otherwise:
        return otherwise[0]
    raise ConfigError(
        f"{below} is looked for below the folder MAPSR_SHARED, which is not set: set it, or give "
        "the key a value of its own, such as data.root=FOLDER."
    )


def _default(field: "dataclasses.Field[Any]") -> object:
    return "???" if field.default is dataclasses.MISSING else field.default


def _choices(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


def _unknown_choice(overrides: Sequence[str], error: Exception) -> str:
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        group, value = override.key_or_group, override.value()
        choices = _choices(group)
        if group == "hydra/launcher":
            if value in _PLUGINS:
                return f"{group}={value} needs a plugin: pip install 'mapsr[sweeps]'."
            choices = ["basic", *_PLUGINS]
        if choices and isinstance(value, str) and value not in choices:
            listed = ", ".join(choices)
            return f"{group}={value}: expected one of {listed}.{near_match(value, choices)}"
    return f"The configuration can't be composed: {_line(error)}"


def _unknown_key(name: str, overrides: Sequence[str], error: Exception, also: Iterable[str]) -> str:
    """Name the first override whose key is not there, and the nearest key that is."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as syntax:
        return f"An override can't be read: {_line(syntax)} (expected key=value)."
    several = next((one for one in parsed if one.is_sweep_override()), None)
    if several:
        return (
            f"{several.input_line} gives several values: only `mapsr run -m` takes them; a comma "
            f"within one value needs quotes, as in \"{several.key_or_group}='a,b'\"."
        )
    groups = {path.name for path in conf_folder().iterdir() if path.is_dir()}
    chosen = [
        one.input_line
        for one in parsed
        if one.input_line and (one.key_or_group in groups or "/" in one.key_or_group)
    ]
    config = hydra_compose(name, chosen, return_hydra_config=True)
    leaves = _leaves(config)
    keys = sorted({*(key for key in leaves if not _of_hydra(key)), *groups, *also})
    hydra_keys = [key for key in leaves if _of_hydra(key)]
    for override in parsed:
        key = override.key_or_group
        known = hydra_keys if _of_hydra(key) else keys
        if key not in known and override.input_line not in chosen:
            return f"Unknown key '{key}'.{near_match(key, known)}"
    return f"The configuration can't be composed: {_line(error)}"


def _of_hydra(key: str) -> bool:
    return key == "hydra" or key.startswith("hydra.")


def _leaves(config: DictConfig, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key in map(str, config):
        if OmegaConf.is_missing(config, key):
            keys.append(f"{prefix}{key}")
            continue
        raw = config._get_node(key)
        if isinstance(raw, DictConfig) and not raw._is_none():
            keys += _leaves(raw, f"{prefix}{key}.")
        keys.append(f"{prefix}{key}")
    return keys


def _own(error: BaseException | None) -> ConfigError | None:
    """The error that a resolver of ours raised, below those that OmegaConf made of it."""
    while error is not None and not isinstance(error, ConfigError):
        error = error.__context__
    return error


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
