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
from typing import TYPE_CHECKING, Any, cast, get_args

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from mapsr.cli.advice import first_line, helpful
from mapsr.cli.console import note
from mapsr.cli.keys import is_text, settled
from mapsr.errors import ConfigError
from mapsr.plugins import choices_of, conf_folder, load_choices
from mapsr.settings import CHOICES, assembled, defaults_of, keys_of

if TYPE_CHECKING:
    from mapsr.experiment import RunSettings
    from mapsr.region import MapSettings
    from mapsr.rounds import LabelSettings

_OUTER_COMMA = re.compile(r",(?![^{]*})(?![^\[]*])")


def compose_run(overrides: Sequence[str]) -> "RunSettings":
    """Compose the settings of a run.

    Raises:
        ConfigError: an unknown key or choice, or a value that does not fit.
    """
    from mapsr.experiment import RunSettings

    return assembled(RunSettings, compose("config", overrides))


def compose_map(overrides: Sequence[str]) -> "MapSettings":
    """Compose the settings of a map.

    Args:
        overrides: as Hydra takes them; keys that are not groups are read apart from it, so that a
            pattern that begins with * stays a text.

    Raises:
        ConfigError: an unknown key or choice, a value that does not fit, or a key that has no say
            with the fitted method.
        FittedError: the fitted method can't be read.
    """
    from mapsr.region import MapSettings, as_fitted, check_given, fitted_settings

    overrides = settled(_renamed_source(overrides), note)
    keys = keys_of(MapSettings)
    own, rest = _split(overrides, keys)
    given = frozenset(one.lstrip("+~").partition("=")[0] for one in overrides)
    source = own.get("fitted") or ""
    fitted = fitted_settings(source) if source else None
    if fitted:
        check_given(fitted, source, given)  # else a key of another method would be unknown
    config = compose("map", rest, also=keys)
    if fitted:
        config = as_fitted(config, fitted, given)
    return assembled(MapSettings, defaults_of(keys.values()) | config | own)


def compose_label(overrides: Sequence[str]) -> "LabelSettings":
    """Compose the settings of a labelling.

    Args:
        overrides: as Hydra takes them; keys that are not groups are read apart from it, so that a
            pattern that begins with * stays a text.

    Raises:
        ConfigError: an unknown key or choice, or a value that does not fit.
    """
    from mapsr.rounds import LabelSettings  # registers its groups

    keys = keys_of(LabelSettings)
    own, rest = _split(settled(overrides, note), keys)
    config = compose("label", rest, also=keys)
    return assembled(LabelSettings, defaults_of(keys.values()) | config | own)


def compose_parts(group: str) -> dict[str, object]:
    """Compose every choice of a group that methods are made of: choice -> its settings."""
    from mapsr.settings import chosen

    found: dict[str, object] = {}
    with session():
        for choice in choices_of(group):
            # alone: the rest of a command's configuration takes ten times as long
            found[choice] = chosen(group, plain(hydra_compose(f"{group}/{choice}"))[group])
    return found


def _renamed_source(overrides: Sequence[str]) -> list[str]:
    """Turn prompts=RUN into fitted=RUN, and say so; prompts=CHOICE is the group's."""
    found = []
    for override in overrides:
        value = override.removeprefix("prompts=")
        if value != override and value not in choices_of("prompts"):
            note(
                f"prompts={value} is called fitted={value} now: prompts= chooses how they are made"
            )
            override = f"fitted={value}"
        found.append(override)
    return found


def _split(
    overrides: Sequence[str], keys: Mapping[str, "dataclasses.Field[Any]"]
) -> tuple[dict[str, Any], list[str]]:
    """Take the overrides of keys apart: their values, and the overrides that are left."""
    values: dict[str, Any] = {}
    left = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or key not in keys:
            left.append(override)
            continue
        kinds = get_args(keys[key].type) or (keys[key].type,)
        if value == "null" and type(None) in kinds:
            values[key] = None
        elif str in kinds:
            values[key] = value
        else:
            values[key] = _yaml(key, value)
    return values, left


def _yaml(key: str, value: str) -> object:
    try:
        return yaml.safe_load(value)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(
            f"{key}={value} can't be read as a value: {first_line(error)}."
        ) from error


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
    overrides = [readable(override) for override in settled(overrides, note)]
    with session(), helpful(name, overrides, also):
        return plain(hydra_compose(name, overrides))


class _PluginFolders(SearchPathPlugin):
    """Lets Hydra find the YAML files of plug-ins."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add their folders behind the package's own."""
        for folder in load_choices()[1:]:
            search_path.append("mapsr.plugins", f"file://{folder}")


@contextmanager
def session() -> Iterator[None]:
    """Within it, Hydra composes from ``conf/`` and the settings classes."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder()), job_name="mapsr", version_base="1.3"):
        yield


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a composed configuration as plain containers, resolved."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


def register() -> None:
    """Tell Hydra of the settings classes and resolvers; again in each process that composes."""
    load_choices()
    Plugins.instance().register(_PluginFolders)
    OmegaConf.register_new_resolver("shared", _shared, replace=True)
    OmegaConf.register_new_resolver("by_recipe", _by_recipe, replace=True)
    store = ConfigStore.instance()
    for group, kinds in CHOICES.items():
        for kind, cls in kinds.items():
            defaults = {"kind": kind} | defaults_of(dataclasses.fields(cls))
            store.store(group=f"schema/{group}", name=kind, node=defaults)


def readable(override: str, sweep: bool = False) -> str:
    """Quote a value that Hydra's grammar does not take, such as a pattern with {scene}.

    Args:
        override: as key=value.
        sweep: commas outside of brackets separate values.

    Raises:
        ConfigError: it is not key=value.
    """
    key, equals, value = override.partition("=")
    if not key or not equals or key.startswith("~"):
        raise ConfigError(f"An override can't be read: '{override}' (expected key=value).")
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException as error:
        if sweep and value.count("(") != value.count(")"):
            raise ConfigError(
                f"An override can't be read: '{override}' ({first_line(error)})."
            ) from error
        text = True
    else:
        read = parsed.value()
        each = read.list if isinstance(read, ChoiceSweep) else [read]
        # text that looks like a number: 2021_11 is not 202111
        text = is_text(key) and any(isinstance(one, bool | int | float) for one in each)
    if not text:
        return override
    values = _OUTER_COMMA.split(value) if sweep else [value]
    quoted = (_quoted(one) for one in values)
    return f"{key}={','.join(quoted)}"


def _quoted(value: str) -> str:
    if value == "null":
        return value
    return "'{}'".format(value.replace("'", "\\'"))


def _by_recipe(corrected: str, released: str, *, _root_: DictConfig) -> str:
    """``${by_recipe:VALUE,OTHER}``: the other value where recipe=released."""
    return released if _root_.get("recipe") == "released" else corrected


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
