"""What the help says of keys: whole, from the classes, and findable."""

import dataclasses

import pytest

from mapsr.cli.help import command_settings
from mapsr.cli.main import main
from mapsr.errors import ConfigError
from mapsr.reference import choice_keys, choices, command_keys, look_up, meanings
from mapsr.settings import CHOICES


@dataclasses.dataclass(frozen=True)
class Base:
    side: int = 3
    """Side of the base."""


@dataclasses.dataclass(frozen=True)
class Own(Base):
    bare: str = "x"
    name: str | None = None
    """What it is called;
    null: nothing."""


def test_meanings_are_the_texts_under_the_fields_inherited_ones_too():
    assert meanings(Own) == {
        "side": ("int", "Side of the base."),
        "bare": ("str", ""),
        "name": ("str | None", "What it is called;\nnull: nothing."),
    }


def test_every_key_of_every_command_and_choice_has_a_meaning():
    keys = [key for name, cls in command_settings().items() for key in command_keys(name, cls)]
    own = [
        (group, kind)
        for group, kinds in CHOICES.items()
        for kind, cls in kinds.items()
        if cls.__module__.startswith("mapsr.")
    ]
    keys += [key for group, kind in own for key in choice_keys(group, kind)]
    assert len(keys) > 100
    assert [f"{key.name} ({key.where})" for key in keys if not key.meaning] == []
    unsaid = [one.name for group in CHOICES for one in choices(group) if not one.meaning]
    assert unsaid == []


def test_a_word_is_a_group_a_choice_a_key_or_its_last_part():
    commands = command_settings()
    shown, keys = look_up("prompts", commands)
    assert [one.name for one in shown] == [
        f"prompts={n}" for n in ("em", "paper", "released", "truth")
    ]
    assert keys == []
    shown, keys = look_up("prompts=released", commands)
    assert shown[0].kind == "coarse" and "prompts.bias" in [key.name for key in keys]
    for word in ("prompts.temperature", "temperature", "temperature="):
        ((key,), none) = look_up(word, commands)[1], look_up(word, commands)[0]
        assert (key.name, key.type, key.default, none) == (
            "prompts.temperature",
            "float",
            "3.3",
            [],
        )
    assert [key.name for key in look_up("sieve", commands)[1]][:2] == ["map", "mmu"]
    assert {key.where for key in look_up("overwrite", commands)[1]} >= {"mapsr run", "mapsr map"}
    (image,) = (key for key in look_up("image", commands)[1] if key.where == "mapsr map")
    assert image.default is None


def test_a_word_that_means_nothing_gets_the_nearest_one():
    with pytest.raises(ConfigError, match=r"no key.*'promts'.*Did you mean 'prompts'"):
        look_up("promts", command_settings())


def test_help_prints_choices_and_keys(capsys):
    assert main(["help", "prior=product"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("prior=product\n    ") and "prior.strength" in said
    assert "default 1.0" in said
    assert main(["help"]) == 0
    assert "mapsr run: method, backbone" in capsys.readouterr().out
