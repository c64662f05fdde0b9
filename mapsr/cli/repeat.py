"""`config=RUN/config.yaml`: a run's settings from the record of another one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mapsr.cli.compose import compose, compose_run
from mapsr.cli.console import note
from mapsr.cli.keys import is_text, settled
from mapsr.errors import ConfigError, near_match
from mapsr.plugins import load_choices
from mapsr.settings import assembled, groups_of, keys_of

if TYPE_CHECKING:
    from mapsr.experiment import RunSettings

KEY = "config="


def run_settings(overrides: Sequence[str]) -> "RunSettings":
    """Compose the settings of a run, from the record of another one where config= names it.

    Args:
        overrides: as Hydra takes them; with config= those of keys, and of groups that change
            nothing but themselves.

    Raises:
        ConfigError: as ``compose_run``; there is no such record, it is of another version, or an
            override can't be applied to it.
    """
    sources = [one.removeprefix(KEY) for one in overrides if one.startswith(KEY)]
    if not sources:
        return compose_run(overrides)
    if len(sources) > 1:
        raise ConfigError(f"config= is given {len(sources)} times, expected it once.")
    from mapsr.experiment import RunSettings
    from mapsr.tracking import read_config

    load_choices()
    path = Path(sources[0])
    config = read_config(path if path.is_dir() else path.parent)
    config["overwrite"] = False  # the earlier run may have been told to; this one is not
    for override in settled([one for one in overrides if not one.startswith(KEY)], note):
        _apply(config, override)
    return assembled(RunSettings, config)


def _apply(config: dict[str, Any], override: str) -> None:
    """Put an override into recorded settings."""
    from mapsr.experiment import RunSettings

    key, equals, text = override.partition("=")
    if not equals or key[:1] in "+~" or "/" in key:
        raise ConfigError(f"'{override}' can't be used with config=, expected key=value.")
    group, _, rest = key.partition(".")
    groups, own = groups_of(RunSettings), keys_of(RunSettings)
    if key in groups:
        config[key] = _chosen(key, text)
    elif rest and group in groups:
        values = config.get(group)
        if values is None:
            raise ConfigError(
                f"{override}: the run has no {group}, so that nothing can be set there."
            )
        if rest not in values or rest == "kind":
            known = [one for one in values if one != "kind"]
            raise ConfigError(
                f"Unknown key '{key}', expected one of {', '.join(known)}.{near_match(rest, known)}"
            )
        config[group] = values | {rest: _value(key, text)}
    elif key in own:
        config[key] = _value(key, text)
    else:
        known = [*groups, *own]
        raise ConfigError(f"Unknown key '{key}'.{near_match(key, known)}")


def _chosen(group: str, choice: str) -> Any:  # noqa: ANN401 - settings of any group
    """The settings of another choice of a group, which must change nothing else."""
    before, after = compose("config", []), compose("config", [f"{group}={choice}"])
    others = [key for key in after if key != group and after[key] != before.get(key)]
    if others:
        raise ConfigError(
            f"{group}={choice} also sets {others[0]}, which would mix with the settings of "
            f"config=: leave config= out, or set single keys such as {group}.KEY=VALUE."
        )
    return after[group]


def _value(key: str, text: str) -> object:
    if text == "null":
        return None
    if is_text(key):
        return text
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{key}={text} can't be read as a value.") from error
