"""What each key means: read from the settings classes, so that it is said in one place."""

import ast
import dataclasses
import inspect
import re
import textwrap
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mapsr.errors import ConfigError, near_match
from mapsr.plugins import choices_of, conf_folder, load_choices
from mapsr.settings import CHOICES, MISSING, groups_of, keys_of, optional_groups, plain


@dataclass(frozen=True)
class Key:
    """A key that can be set.

    Attributes:
        name: as it is written, such as "prompts.temperature".
        where: the group and the kind of its choice that have it, such as "prompts, kind em", or
            the command.
        type: as the class has it, such as "int | None".
        default: as YAML has it; None where a value has to be given.
        meaning: what it does, and how to choose a value.
    """

    name: str
    where: str
    type: str
    default: str | None
    meaning: str


@dataclass(frozen=True)
class Choice:
    """A choice of a group.

    Attributes:
        name: as it is written, such as "prompts=released".
        kind: of its settings class; None where it takes that of another choice.
        meaning: the comment at the head of its file.
    """

    name: str
    kind: str | None
    meaning: str


@lru_cache(maxsize=256)
def meanings(cls: type) -> dict[str, tuple[str, str]]:
    """Type and meaning of each field of a settings class, by name; those it inherits, too.

    A meaning is the text under a field.
    """
    found: dict[str, tuple[str, str]] = {}
    for one in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(one):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
        assert isinstance(body, ast.ClassDef), "the source of a class is one"
        for field, text in zip(body.body, [*body.body[1:], None], strict=True):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            said = ""
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                said = inspect.cleandoc(str(text.value.value))
            found[field.target.id] = ast.unparse(field.annotation), said
    return found


def choice_keys(group: str, kind: str) -> list[Key]:
    """The keys of a choice of a group, in the order of its class."""
    cls = CHOICES[group][kind]
    return [
        _key(f"{group}.{field.name}", f"{group}, kind {kind}", cls, field)
        for field in dataclasses.fields(cls)
    ]


def command_keys(command: str, cls: type) -> list[Key]:
    """The keys of a command that are in no group."""
    return [_key(name, f"mapsr {command}", cls, field) for name, field in keys_of(cls).items()]


def command_groups(cls: type) -> tuple[str, ...]:
    """The groups of a command's settings."""
    return (*groups_of(cls), *(name for name in optional_groups(cls) if name not in groups_of(cls)))


def choices(group: str) -> list[Choice]:
    """The choices of a group, from the files of ``conf/`` and of plug-ins."""
    folders = (conf_folder(), *load_choices())
    found = []
    for name in choices_of(group):
        files = [folder / group / f"{name}.yaml" for folder in folders]
        text = next((file.read_text(encoding="utf-8") for file in files if file.exists()), "")
        kind = re.search(rf"/schema/{group}/([\w-]+)@", text)
        found.append(Choice(f"{group}={name}", kind[1] if kind else None, _head(text)))
    return found


def look_up(word: str, commands: dict[str, type]) -> tuple[list[Choice], list[Key]]:
    """Find what a word of the command line means.

    Args:
        word: a key ("prompts.temperature", "seed"), its last part ("temperature"), a group
            ("prompts"), a choice ("prompts=em") or a command ("areas").
        commands: settings class of each command by its name.

    Returns:
        The choices of a group, and the keys.

    Raises:
        ConfigError: nothing is called so.
    """
    group, equals, _ = word.partition("=")
    if group in CHOICES and equals:
        shown = [one for one in choices(group) if one.name == word]
        if shown:
            kind = shown[0].kind
            return shown, choice_keys(group, kind) if kind else []
    elif group in CHOICES:
        return choices(group), []
    if word in commands and not groups_of(commands[word]):
        return [], command_keys(word, commands[word])
    every = [key for name, cls in commands.items() for key in command_keys(name, cls)]
    every += [
        key for name, kinds in CHOICES.items() for kind in kinds for key in choice_keys(name, kind)
    ]
    wanted = word.rstrip("=")
    found = [key for key in every if key.name == wanted]
    found = found or [key for key in every if key.name.rpartition(".")[2] == wanted]
    if not found:
        known = {
            *CHOICES,
            *(key.name for key in every),
            *(c.name for g in CHOICES for c in choices(g)),
        }
        raise ConfigError(
            f"There is no key, group or choice '{word}', expected one such as seed, prompts, "
            f"prompts=em or prompts.temperature.{near_match(wanted, sorted(known))}"
        )
    return [], found


def _key(name: str, where: str, cls: type, field: "dataclasses.Field[Any]") -> Key:
    kind, meaning = meanings(cls)[field.name]
    return Key(name, where, kind, _default(field), meaning)


def _default(field: "dataclasses.Field[Any]") -> str | None:
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if value is dataclasses.MISSING or value == MISSING:
        return None
    return _as_yaml(plain(value))


def _as_yaml(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_as_yaml(one) for one in value) + "]"
    return str(value)


def _head(text: str) -> str:
    """The comment at the head of a file, as one line."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            lines.append(line.removeprefix("#").strip())
    return " ".join(lines)
