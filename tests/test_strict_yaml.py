"""YAML files are read in one way: whatever is wrong is one sentence of the asker's kind."""

import pytest

from mapsr.errors import ConfigError, LegendError
from mapsr.strict_yaml import read_strictly


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: {c: 1, d: 2, c: 3}\n", r"the key 'c' stands twice in one mapping \(line 2\)"),
        ("- {a: 1}\n- {b: 1, b: 1}\n", "the key 'b' stands twice"),
        ("a: [", "is not valid YAML: while parsing"),
        ("[" * 5000 + "]" * 5000, "is nested too deep"),
    ],
)
@pytest.mark.parametrize("kind", [ConfigError, LegendError])
def test_what_is_wrong_is_a_sentence_of_the_askers_kind(tmp_path, text, message, kind):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(kind, match=message) as raised:
        read_strictly(path, kind)
    assert "\n" not in str(raised.value)


def test_a_key_may_stand_in_several_mappings_and_an_alias_point_back(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("a: &one {c: 1}\nb: {c: 2}\nd: *one\n")
    assert read_strictly(path) == {"a": {"c": 1}, "b": {"c": 2}, "d": {"c": 1}}


def test_files_that_are_not_there_or_not_text(tmp_path):
    with pytest.raises(ConfigError, match=r"There is no file .*none\.yaml; check the path"):
        read_strictly(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"Can't read .*: Is a directory"):
        read_strictly(tmp_path)
    path = tmp_path / "bytes.yaml"
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        read_strictly(path)
