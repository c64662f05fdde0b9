import threading
import time

import pytest
import torch

from mapsr.methods.ahead import chips_ahead, in_order
from mapsr.processors import one_thread


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    assert chips_ahead(torch.device("cpu")) == request.param
    assert chips_ahead(torch.device("cuda")) == 1
    with one_thread():
        yield request.param
    assert torch.get_num_threads() == request.param
    torch.set_num_threads(before)


def test_items_come_in_their_order_whoever_is_first(threads):
    def slow_at_first(number):
        time.sleep(0.02 * (4 - number % 5))
        return number**2

    assert list(in_order(slow_at_first, range(12), threads)) == [(n, n**2) for n in range(12)]


def test_each_is_on_one_core_and_few_are_ahead(threads):
    asked, seen = [], []

    def items():
        for number in range(20):
            asked.append(number)
            yield number

    for number, cores in in_order(lambda _: torch.get_num_threads(), items(), threads):
        seen.append(cores)
        assert len(asked) - number <= threads + 1
    assert seen == [1] * 20


def test_the_first_error_ends_it_and_later_work_is_not_begun(threads):
    begun = []

    def work(number):
        begun.append(number)
        if number == 2:
            raise ValueError("two")
        return number

    found = []
    with pytest.raises(ValueError, match="two"):
        for number, _ in in_order(work, range(100), threads):
            found.append(number)
    assert found == [0, 1] and len(begun) < 10


def test_who_stops_early_leaves_no_thread_behind(threads):
    before = threading.active_count()
    some = in_order(lambda number: number, range(100), threads)
    assert next(some) == (0, 0)
    some.close()
    assert threading.active_count() == before
