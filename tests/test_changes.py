"""What differs between two descriptions of one thing."""

from mapsr.changes import differences


def test_another_choice_is_named_without_its_keys():
    then = {"refine": {"kind": "graph", "alpha": 0.5}}
    now = {"refine": {"kind": "none", "beta": 1}}
    assert differences(then, now) == ["refine.kind is none, was graph"]


def test_differences_by_hand():
    then = {"a": 1, "windows": {"chip": 4, "unit": 8}, "inputs": {"x": [1, 2], "y": [3, 4]}}
    now = {"a": 1, "windows": {"chip": 5, "unit": 8}, "inputs": {"x": [1, 9], "z": [0, 0]}, "b": 2}
    assert differences(then, now) == [
        "b is 2, was unset",
        "x has changed since then",
        "y is no longer among the inputs",
        "z came to the inputs",
        "windows.chip is 5, was 4",
    ]
    assert differences(now, now) == []
