"""Every command that README, docs and notebook give is one that exists, and the cheap ones work."""

import dataclasses
import re
from functools import cache

import pytest
from documents import NOTEBOOKS, PAGES, ROOT, Command, commands, text_of

from mapsr.cli.help import command_settings
from mapsr.cli.main import main, parser
from mapsr.cli.parsers import parts_of
from mapsr.plugins import choices_of
from mapsr.settings import CHOICES, groups_of
from mapsr.tables.loading import load

EVERY = [one for page in (*PAGES, *NOTEBOOKS) for one in commands(page)]
MAPSR = [one for one in EVERY if one.words[0] == "mapsr"]
# stand for names of the user's own
PLACEHOLDERS = re.compile(r"[A-Z]{2,}(\|[A-Z]+)?|\.\.\.")
KEYS_OF = {"doctor": "map", "preview": "map", "table": "run", "runs list": "run"}
MORE_KEYS = {
    "compare": {"out", "paths"},
    "data fetch": {"root", "states"},
    "data check": {"root", "states"},
    "runs list": {"state"},
    "table": {"runs", "scene", "image", "window", "product"},  # of EcoVision's tables
}
# written out as another key before the configuration is composed
SHORT = {"run": {"product_prior", "config"}, "map": {"product_prior"}, "table": {"product_prior"}}


@cache
def keys_of(command: str) -> set[str]:
    """Every key that a command takes: its own, its groups, and GROUP.KEY of every kind."""
    cls = command_settings().get(KEYS_OF.get(command, command))
    found = MORE_KEYS.get(command, set()) | SHORT.get(command, set())
    if cls is None:
        return found
    found |= {one.name for one in dataclasses.fields(cls)}
    if groups_of(cls):
        found |= {"experiment", "recipe", "hydra/launcher"}
    for group in groups_of(cls):
        for kind in CHOICES[group].values():
            found |= {f"{group}.{one.name}" for one in dataclasses.fields(kind)}
    return found


def groups_that(command: str) -> set[str]:
    """The groups of a command."""
    cls = command_settings().get(KEYS_OF.get(command, command))
    groups = set(groups_of(cls)) if cls else set()
    return groups | {"experiment"} if groups else set()


def wrong_with(command: Command) -> str | None:
    """What is wrong with a command of a document; None: nothing."""
    names, parts, rest = [], parts_of(parser()), []
    for word in command.words[1:]:
        if word in parts.commands and not rest:
            names.append(word)
            parts = parts_of(parts.commands[word])
        else:
            rest.append(word)
    if parts.commands and rest and not PLACEHOLDERS.fullmatch(rest[0]) and rest[0][0] != "-":
        return f"there is no command {rest[0]}"
    if not names and not rest:
        return "it names no command"
    options = {text for one in parts.options for text in one.option_strings} | {"--help"}
    known = keys_of(" ".join(names))
    for word in rest:
        key, equals, value = word.partition("=")
        if word.startswith("-") and word not in options:
            return f"there is no option {word}"
        if not equals or PLACEHOLDERS.fullmatch(key) or names == ["completion"]:
            continue
        if key not in known and key.split(".")[0] not in {"hydra", *(known & {"paths"})}:
            return f"there is no key {key}"
        if key in groups_that(" ".join(names)) and not PLACEHOLDERS.fullmatch(value):
            for one in value.split(","):
                if one not in {*choices_of(key), "null", "mean_colour"} and (one or command.whole):
                    return f"there is no choice {key}={one}"
    return None


def test_every_command_of_the_documents_is_known():
    assert len(MAPSR) > 100 and len({one.page for one in MAPSR}) > 12
    assert {one.page: (one.words, why) for one in MAPSR if (why := wrong_with(one))} == {}


def test_lines_are_whole_commands():
    for one in MAPSR:
        if one.whole and "..." not in one.words:
            assert parser().parse_args(one.words[1:]).run, one


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("mapsr mapp image=a.tif", "no command mapp"),
        ("mapsr run --shwo", "no option --shwo"),
        ("mapsr map imge=a.tif", "no key imge"),
        ("mapsr run prompts.nothing=1", "no key prompts.nothing"),
        ("mapsr run method=mapsr,kmeens", "no choice method=kmeens"),
        ("mapsr areas map.tif zone=a.gpkg", "no key zone"),
    ],
)
def test_a_command_that_is_not_there_is_found(line, why):
    assert why in str(wrong_with(Command("", tuple(line.split()), whole=True)))


def test_make_targets_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {one.words[1] for one in EVERY if one.words[0] == "make"}
    assert {"run", "test"} <= named <= set(targets)


def test_links_between_pages_lead_somewhere():
    broken = []
    generated = {"changelog.md", "experiments.md", "notebooks/county.md", "images/overview.png"}
    generated |= {f"reference/{name}.md" for name in ("commands", "keys", "groups", "rooms")}
    for page in (*PAGES, "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text_of(page)):
            path = (ROOT / page).parent / link
            inside = path.resolve().relative_to(ROOT).as_posix().removeprefix("docs/")
            if not path.exists() and not (page.startswith("docs/") and inside in generated):
                broken.append((page, link))
    assert broken == []


def test_cheap_commands_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAPSR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MAPSR_SHARED", str(tmp_path))  # the patches are looked for below it
    (example,) = re.findall(r"```yaml\n(.*?)```", text_of("docs/tables.md"), re.DOTALL)
    (tmp_path / "own.yaml").write_text(example)
    assert load("own.yaml").rows[2].published == {"": 0.6177}
    shown = {}
    for one in {one.words[1:]: one for one in MAPSR if one.whole}:
        cheap = one[0] in ("help", "completion") or {"--list", "--show"} & {*one}
        cheap = cheap or one in (("weights", "list"), ("cache", "info"))
        if cheap or one == ("table", "own.yaml"):
            more = ["--dry-run"] if one[0] == "table" and "--list" not in one else []
            assert main([*one, *more]) == 0, one
            shown[one] = capsys.readouterr().out
    assert len(shown) >= 8 and all(shown.values())
    assert "bilateral" in shown["table", "own.yaml"]


def test_what_has_gone_into_pages_stands_in_one_place():
    for page in ("README.md", "CONTRIBUTING.md"):
        assert len((ROOT / page).read_text().splitlines()) < 115, page
    heads = [line for line in text_of("README.md").splitlines() if line.startswith("#")]
    assert len(heads) == len(set(heads))  # "Labels from many products" stood there twice
