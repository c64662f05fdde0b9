import io
import logging
import sys
import threading

import pytest

from mapsr.cli import console
from mapsr.cli.console import ConsoleProgress, configure_logging, note, say
from mapsr.progress import slowly, stage


@pytest.fixture
def package_logger():
    """The package's logger, put back afterwards."""
    logger = logging.getLogger("mapsr")
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers = handlers
    logger.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_results_and_notes_go_their_own_ways(capsys):
    say("result")
    note("by the way")
    assert capsys.readouterr() == ("result\n", "by the way\n")


def test_without_a_terminal_a_loop_is_two_lines(capsys):
    assert list(ConsoleProgress().track("abc", "encode", 3)) == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert out == ""
    first, last = err.splitlines()
    assert first == "encode: 0/3"
    assert last.startswith("encode: 3/3 in ")


def test_without_a_terminal_a_long_loop_speaks_up_now_and_then(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    for _ in ConsoleProgress().track(range(10), "encode", 10):
        now[0] += 4
    assert capsys.readouterr().err.splitlines() == [
        "encode: 0/10",
        "encode: 3/10, about 28 s left",
        "encode: 6/10, about 16 s left",
        "encode: 9/10, about 4 s left",
        "encode: 10/10 in 40.0 s",
    ]


def test_a_loop_that_fails_says_how_far_it_came(capsys):
    with pytest.raises(KeyError):
        for item in ConsoleProgress().track("abc", "encode", 3):
            if item == "b":
                raise KeyError(item)
    assert "encode: 1/3 in " in capsys.readouterr().err


def test_on_a_terminal_loops_inside_each_other_are_bars(monkeypatch):
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    progress, pairs = ConsoleProgress(), []
    for scene in progress.track("ab", "scenes", 2):
        pairs += [(scene, chip) for chip in progress.track((1, 2), "chips", 2)]
    assert pairs == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    shown = terminal.getvalue()
    assert "scenes" in shown
    assert "2/2" in shown
    assert sys.stderr is terminal


def test_on_a_terminal_a_second_loop_starts_anew_after_a_failure(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = ConsoleProgress()
    with pytest.raises(KeyError):
        for _ in progress.track("ab", "first", 2):
            raise KeyError
    assert list(progress.track("ab", "second", 2)) == ["a", "b"]
    assert "second" in terminal.getvalue()
    assert sys.stderr is terminal


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [
        (-1, ["ERROR"]),
        (0, ["WARNING", "ERROR"]),
        (1, ["INFO", "WARNING", "ERROR"]),
        (2, ["DEBUG", "INFO", "WARNING", "ERROR"]),
        (5, ["DEBUG", "INFO", "WARNING", "ERROR"]),
    ],
)
def test_verbosity_chooses_what_is_shown(verbosity, shown, package_logger, capsys):
    configure_logging(verbosity)
    child = logging.getLogger("mapsr.features")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        child.log(level, "message")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f"{level}: message" for level in shown]


def test_configuring_twice_does_not_say_things_twice(package_logger, capsys):
    configure_logging(0)
    configure_logging(0)
    package_logger.warning("once")
    assert capsys.readouterr().err == "WARNING: once\n"


def test_a_log_file_gets_what_the_terminal_does_not_show(package_logger, capsys, tmp_path):
    handler = logging.FileHandler(tmp_path / "log.txt")
    package_logger.addHandler(handler)
    configure_logging(-1)
    package_logger.info("detail")
    handler.close()
    assert capsys.readouterr().err == ""
    assert (tmp_path / "log.txt").read_text() == "detail\n"


def test_work_that_is_soon_over_is_not_shown(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("mapsr.progress.time.monotonic", lambda: now[0])
    for seconds, lines in ((0.1, []), (1.0, ["write: 0/3", "write: 3/3 in "])):
        seen = []
        for item in slowly(ConsoleProgress(), "abcde", "write", 5):
            seen.append(item)
            now[0] += seconds
        assert "".join(seen) == "abcde"
        shown = capsys.readouterr().err.splitlines()
        assert len(shown) == len(lines)
        assert all(line.startswith(start) for line, start in zip(shown, lines, strict=True))
    # over with the last item: there is nothing left to show
    for _ in slowly(ConsoleProgress(), "a", "write", 1):
        now[0] += 10
    assert capsys.readouterr().err == ""


def test_work_without_steps_says_that_it_began_and_is_over(capsys):
    with stage(ConsoleProgress(), "clusters"):
        assert capsys.readouterr().err == "clusters: 0/1\n"
    assert capsys.readouterr().err.startswith("clusters: 1/1 in ")


def test_bars_of_two_threads_share_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = ConsoleProgress()
    scored = progress.track("ab", "map", 2)
    assert next(scored) == "a"
    written = threading.Thread(target=lambda: list(progress.track("xyz", "write", 3)))
    written.start()
    written.join()
    assert list(scored) == ["b"]
    shown = terminal.getvalue()
    assert "map" in shown and "write" in shown and "2/2" in shown
    assert sys.stderr is terminal
