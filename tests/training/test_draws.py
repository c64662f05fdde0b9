from collections import Counter

import pytest

from mapsr.training import TrainingSettings
from mapsr.training.draws import DrawPlan


def plan(scenes=10, seed=0, alike=False, **values):
    defaults = {"epochs": 2, "batch": 4, "chips_per_scene": 3}
    return DrawPlan(scenes, TrainingSettings(**defaults | values), seed, alike=alike)


def epoch(one, number):
    """The chips of an epoch, batch by batch."""
    first = number * one.steps_per_epoch
    return [one.draws(step) for step in range(first, first + one.steps_per_epoch)]


@pytest.mark.parametrize(
    ("values", "steps_per_epoch", "steps", "chips"),
    [
        ({}, 8, 16, 60),  # 30 chips are 7.5 batches, and the last is filled up
        ({"batch": 5}, 6, 12, 60),
        ({"max_steps": 9}, 8, 9, 36),
        ({"max_steps": 99}, 8, 16, 60),
        ({"epochs": None, "max_steps": 99}, 8, 99, 396),
    ],
)
def test_lengths_by_hand(values, steps_per_epoch, steps, chips):
    one = plan(**values)
    assert (one.steps_per_epoch, one.steps, one.chips) == (steps_per_epoch, steps, chips)


def test_every_scene_comes_up_equally_often_and_no_random_numbers_twice():
    one = plan(batch=5)
    for number in range(2):
        draws = [draw for batch in epoch(one, number) for draw in batch]
        assert Counter(draw.scene for draw in draws) == dict.fromkeys(range(10), 3)
        assert len({draw.key for draw in draws}) == 30


def test_all_batches_are_full():
    assert {len(batch) for batch in epoch(plan(), 0)} == {4}
    assert len(plan(scenes=1, batch=16).draws(0)) == 16


def test_a_step_depends_on_the_seed_and_the_step_alone():
    one, same, other = plan(seed=1), plan(seed=1), plan(seed=2)
    backwards = [same.draws(step) for step in reversed(range(16))]
    assert [one.draws(step) for step in range(16)] == backwards[::-1]
    assert one.draws(0) != one.draws(8)
    assert one.draws(0) != other.draws(0)


def test_released_workers_draw_alike():
    # 16 scenes: eight workers with two each, which all draw the same six random numbers
    batches = epoch(plan(16, alike=True, batch=6), 0)
    assert len(batches) == 8
    keys = [[draw.key for draw in batch] for batch in batches]
    assert all(one == keys[0] for one in keys)
    assert len(set(keys[0])) == 6
    # all but the first take their part of the list in order
    for worker, batch in enumerate(batches[1:], start=1):
        assert [draw.scene for draw in batch] == [2 * worker] * 3 + [2 * worker + 1] * 3


def test_the_first_released_worker_shuffles_for_itself_alone():
    one = plan(16, alike=True, batch=6, epochs=40)
    firsts = [{draw.scene for draw in epoch(one, number)[0]} for number in range(40)]
    assert all(len(scenes) == 2 for scenes in firsts)
    assert len({frozenset(scenes) for scenes in firsts}) > 10
    missed = [number for number in range(40) if not firsts[number] >= {0, 1}]
    assert missed  # scenes 0 and 1 belong to the first worker, and nobody else sees them
    counts = Counter(draw.scene for batch in epoch(one, missed[0]) for draw in batch)
    assert max(counts.values()) == 6


def test_released_batches_take_turns_and_may_be_small():
    # 10 scenes: five workers with two each, 6 chips: a batch of 4 and one of 2
    one = plan(10, alike=True)
    batches = epoch(one, 1)
    assert [len(batch) for batch in batches] == [4] * 5 + [2] * 5
    assert [batch[0].scene for batch in batches[1:5]] == [2, 4, 6, 8]
    assert [batch[0].scene for batch in batches[6:]] == [3, 5, 7, 9]
    assert one.steps == 20
    assert one.chips == 60


@pytest.mark.parametrize("scenes", [1, 7, 9, 17])
def test_released_workers_share_all_places_of_the_list(scenes):
    one = plan(scenes, alike=True)
    assert sum(len(batch) for batch in epoch(one, 0)) == scenes * 3
