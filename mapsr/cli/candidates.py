"""What may stand in place of the last word of a command line."""

import argparse
import importlib.util
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import mapsr
from mapsr.cli.outline import SETTINGS, Field, fields_of, kinds_of
from mapsr.cli.parsers import Parts, parts_of, takes_value
from mapsr.plugins import GROUP, conf_folder
from mapsr.published import REGISTRY

_SETTINGS_OF = {"doctor": "map", "preview": "map", "table": "run", "runs list": "run"}
"""Commands that take the keys of another one."""
_KEYS = {
    "run": ("config", "product_prior", "recipe"),
    "map": ("product_prior",),
    "preview": ("product_prior",),
    "compare": ("out",),
    "data fetch": ("root", "states"),
    "data check": ("root", "states"),
    "runs list": ("state",),
}
"""Keys that are in no settings class."""
_NO_KEYS = {"compare": {"maps", "paths"}}
"""Fields of a settings class that are given in another way."""
_LEGEND = re.compile(r"(.*_)?legends?|target|legend\.(target|coarse|truth)")
"""Keys that may name a legend of the package."""
_TRUTHS = ["true", "false"]


def candidates(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """Find what may stand in place of the last word.

    Args:
        parser: of the whole command line.
        words: those after the command's own name; the last one, which may be empty, is completed.

    Returns:
        Whole words in order; one that ends with "=" or "." waits for more. None of them where a
        path may stand, which shells complete themselves.
    """
    *before, current = words or [""]
    names, parts, rest = _descended(parser, before)
    option = _waiting(parts, rest)
    if option is not None:
        return _starting(current, map(str, option.choices or ()))
    if current.startswith("-"):
        return _starting(current, (text for one in parts.options for text in one.option_strings))
    if parts.commands:
        return _starting(current, parts.commands)
    fields = _fields(names, parts)
    if "=" in current:
        return _starting(current, _values(current, fields))
    taken = {word.partition("=")[0] for word in rest if "=" in word}
    found = [*_names(names, parts, rest), *_keys(current, fields, rest)]
    return _starting(current, (one for one in found if one.rstrip("=") not in taken))


def _descended(
    parser: argparse.ArgumentParser, before: Sequence[str]
) -> tuple[str, Parts, list[str]]:
    """Follow the words through the commands: their names, the last one's parts, words left."""
    names: list[str] = []
    rest: list[str] = []
    parts = parts_of(parser)
    for word in before:
        if word in parts.commands:
            names.append(word)
            parts, rest = parts_of(parts.commands[word]), []
        else:
            rest.append(word)
    return " ".join(names), parts, rest


def _waiting(parts: Parts, rest: Sequence[str]) -> argparse.Action | None:
    """The option before the last word, where it waits for a value."""
    for option in parts.options:
        if rest and rest[-1] in option.option_strings and takes_value(option):
            return option
    return None


def _fields(names: str, parts: Parts) -> dict[str, Field]:
    """What key=value may set: fields of the settings, but those that are given by place."""
    command = _SETTINGS_OF.get(names, names)
    own = fields_of(command) if command in SETTINGS else {}
    own |= {key: Field("str", group=False) for key in _KEYS.get(names, ())}
    if any(field.group for field in own.values()):
        own["experiment"] = Field("str | None", group=True)
    apart = {one.dest for one in parts.positionals} | _NO_KEYS.get(names, set())
    return {name: field for name, field in own.items() if name not in apart}


def _keys(current: str, fields: Mapping[str, Field], rest: Sequence[str]) -> list[str]:
    """Keys and groups; below a group that is begun, its own keys."""
    group, dot, _ = current.partition(".")
    if dot and group in fields and fields[group].group:
        return [f"{group}.{name}=" for name in _group_fields(group, rest)]
    keys = [f"{name}=" for name in fields]
    return keys + [f"{name}." for name, one in fields.items() if one.group and kinds_of(name)]


def _group_fields(group: str, rest: Sequence[str] = ()) -> dict[str, Field]:
    """Keys of a group: of the kind that is chosen among the words, or of all kinds."""
    kinds = kinds_of(group)
    chosen = [word.partition("=")[2] for word in rest if word.startswith(f"{group}=")]
    if chosen and chosen[-1] in kinds:
        return kinds[chosen[-1]]
    return {name: field for one in kinds.values() for name, field in one.items()}


def _values(current: str, fields: Mapping[str, Field]) -> list[str]:
    """What may follow key=; after a comma, another value of a sweep or a list."""
    key, _, value = current.partition("=")
    begun = value[: value.rfind(",") + 1]
    group, _, name = key.partition(".")
    field = _group_fields(group).get(name) if name else fields.get(key)
    if field is None:
        return []
    if field.group and not name:
        found = _choices(key)
    elif "bool" in field.type:
        found = _TRUTHS
    elif _LEGEND.fullmatch(key):
        found = _stems(Path(mapsr.__file__).parent / "legends" / "products")
    elif key == "registry":
        found = _stems(Path(mapsr.__file__).parent / "labelling" / "registries")
    else:
        found = []
    return [f"{key}={begun}{one}" for one in found]


def _choices(group: str) -> list[str]:
    """Choices of a group, from the files of the package and of plug-ins."""
    folders = [conf_folder()]
    for one in metadata.entry_points(group=GROUP):
        # the folder of a package is known without importing it, that of a module inside one is not
        spec = None if "." in one.module else importlib.util.find_spec(one.module)
        folders += [
            Path(where) / "conf" for where in (spec and spec.submodule_search_locations) or ()
        ]
    return sorted({stem for folder in folders for stem in _stems(folder / group)})


def _names(names: str, parts: Parts, rest: Sequence[str]) -> list[str]:
    """Names that may stand by place: of a table, of weights, of a key or group, a closed choice."""
    given = sum("=" not in word and not word.startswith("-") for word in rest)
    if names == "table" and not given:
        experiments = Path(mapsr.__file__).parent / "experiments"
        beside = Path(mapsr.__file__).parents[1] / "experiments"
        return _stems(experiments if experiments.is_dir() else beside)
    if names == "weights fetch":
        return [*REGISTRY]
    if names == "help":
        return [*SETTINGS, *sorted(one.name for one in conf_folder().iterdir() if one.is_dir())]
    place = parts.positionals[given : given + 1]
    return [str(choice) for one in place for choice in one.choices or ()]


def _stems(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml"))


def _starting(current: str, words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(word for word in words if word.startswith(current)))
