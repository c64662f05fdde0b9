from mapsr.progress import up_to


class Shown:
    """Notes when each step is shown as done."""

    def __init__(self):
        self.log = []

    def track(self, items, what, total):
        assert (what, total) == ("work", 6)
        for item in items:
            yield item
            self.log.append(item)


def test_missing_items_count_as_done_with_the_one_behind_them():
    shown, seen = Shown(), []
    for item in up_to(shown, [(2, "b"), (5, "e")], "work", 6):
        seen.append((item, list(shown.log)))
    # while an item is worked on, those before it are done
    assert seen == [("b", [0]), ("e", [0, 1, 2, 3])]
    assert shown.log == [0, 1, 2, 3, 4, 5]


def test_nothing_at_all_comes_to_its_end():
    shown = Shown()
    assert list(up_to(shown, [], "work", 6)) == []
    assert shown.log == [0, 1, 2, 3, 4, 5]
