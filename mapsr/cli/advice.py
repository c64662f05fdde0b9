"""What is wrong with overrides, said so that it can be fixed."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from hydra import compose as hydra_compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mapsr.errors import ConfigError, near_match
from mapsr.plugins import choices_of, failed_plugins, group_names

# Hydra's launchers that come with an extra.
_LAUNCHERS = ("joblib", "submitit_local", "submitit_slurm")


@contextmanager
def helpful(name: str, overrides: Sequence[str], also: Iterable[str] = ()) -> Iterator[None]:
    """Within it and a session, what Hydra says of overrides becomes an error that helps.

    Raises:
        ConfigError: as ``compose`` does.
    """
    check_choices(overrides)
    try:
        yield
    except MissingConfigException as error:
        raise ConfigError(_unknown_choice(overrides, error)) from error
    except (ConfigCompositionException, HydraException) as error:
        raise ConfigError(_unknown_key(name, overrides, error, also)) from error
    except OmegaConfBaseException as error:
        if own := _own(error):
            raise own from error
        raise ConfigError(f"The configuration can't be resolved: {first_line(error)}.") from error
    except (TypeError, ValueError, LookupError, AttributeError, AssertionError) as error:
        # what Hydra itself stumbles over
        raise ConfigError(f"The configuration can't be composed: {first_line(error)}.") from error


def check_choices(overrides: Sequence[str]) -> None:
    """Refuse overrides of groups that Hydra does not take, before it stumbles over them.

    Raises:
        ConfigError: a value is not a name, the group is chosen already, it is not a group, or a
            choice's kind is set apart from the choice.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException:
        return  # said by whoever composes
    groups = group_names()
    for override in parsed:
        key, line = override.key_or_group, override.input_line
        if key.startswith("hydra"):
            continue
        group, _, rest = key.partition(".")
        if "/" in key:
            raise ConfigError(f"Unknown key '{key}'.{near_match(key.partition('/')[0], groups)}")
        if group in groups and rest == "kind":
            raise ConfigError(f"{line}: the kind follows from the choice, such as {group}=NAME.")
        if key not in groups:
            continue
        if override.is_add():
            raise ConfigError(f"{line}: {key} is chosen already; leave the + out to choose again.")
        # several values are for sweeps, and are looked at one by one
        if not override.is_sweep_override() and not isinstance(override.value(), str | list):
            shown = (line or key).partition("=")[2]
            raise ConfigError(
                f"{key}={shown}: expected one of {', '.join(choices_of(key))}. To set a key of the "
                f"group, name it: {key}.KEY={shown}."
            )


def _unknown_choice(overrides: Sequence[str], error: Exception) -> str:
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        group, value = override.key_or_group, override.value()
        choices = choices_of(group)
        if group == "hydra/launcher":
            if value in _LAUNCHERS:
                return f"{group}={value} needs a plugin: pip install 'mapsr[sweeps]'."
            choices = ["basic", *_LAUNCHERS]
        if choices and isinstance(value, str) and value not in choices:
            listed = ", ".join(choices)
            hint = near_match(value, choices) + _failed_hint()
            return f"{group}={value}: expected one of {listed}.{hint}"
    return f"The configuration can't be composed: {first_line(error)}"


def _failed_hint() -> str:
    failed = failed_plugins().items()
    return "".join(f" The plug-in '{name}' can't be imported: {why}." for name, why in failed)


def _unknown_key(name: str, overrides: Sequence[str], error: Exception, also: Iterable[str]) -> str:
    """Name the first override whose key is not there, and the nearest key that is."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as syntax:
        return f"An override can't be read: {first_line(syntax)} (expected key=value)."
    several = next((one for one in parsed if one.is_sweep_override()), None)
    if several:
        return (
            f"{several.input_line} gives several values: only `mapsr run -m` takes them; a comma "
            f"within one value needs quotes, as in \"{several.key_or_group}='a,b'\"."
        )
    groups = group_names()
    chosen = [
        one.input_line
        for one in parsed
        if one.input_line and (one.key_or_group in groups or "/" in one.key_or_group)
    ]
    try:
        config = hydra_compose(name, chosen, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException):  # the choices themselves do not compose
        return f"The configuration can't be composed: {first_line(error)}."
    leaves = _leaves(config)
    keys = sorted({*(key for key in leaves if not _of_hydra(key)), *groups, *also})
    hydra_keys = [key for key in leaves if _of_hydra(key)]
    for override in parsed:
        key = override.key_or_group
        known = hydra_keys if _of_hydra(key) else keys
        if key not in known and override.input_line not in chosen:
            return f"Unknown key '{key}'.{near_match(key, known)}"
    return f"The configuration can't be composed: {first_line(error)}"


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


def first_line(error: Exception) -> str:
    """The first line of what an error says, without its full stop."""
    return str(error).strip().splitlines()[0].rstrip(".")
