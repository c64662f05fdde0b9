"""Memory of this process, and not of another."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from mapsr import memory
from mapsr.memory import peak_memory_mib, status_mib

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@pytest.mark.parametrize(("system", "peak"), [("linux", 3072), ("darwin", 3), ("win32", None)])
def test_peak_memory_is_in_mib_whatever_the_system_counts_in(system, peak, tmp_path, monkeypatch):
    usage = SimpleNamespace(ru_maxrss=3 << 20)
    monkeypatch.setattr("resource.getrusage", lambda who: usage)
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "no-proc")
    monkeypatch.setattr(memory.sys, "platform", system)
    assert peak_memory_mib() == peak


@linux
@pytest.mark.parametrize("account", ["VmPeak: 9 kB\n", ""])
def test_a_container_without_the_peak_is_asked_otherwise(account, tmp_path, monkeypatch):
    (tmp_path / "status").write_text(account)
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    with pytest.raises(OSError, match="has no VmHWM"):
        status_mib("VmHWM")
    assert 10 < peak_memory_mib() < 1_000_000


def test_peak_memory_of_this_process_is_plausible():
    assert 10 < peak_memory_mib() < 1_000_000


@linux
def test_a_peak_is_at_least_what_is_held():
    assert 10 < status_mib("VmRSS") <= peak_memory_mib() + 1


@linux
def test_a_process_started_by_a_large_one_is_not_as_large():
    # all peaks of `mapsr bench all` were those of its largest benchmark before
    held = b"1" * (600 << 20)
    script = "from mapsr.memory import peak_memory_mib; print(peak_memory_mib())"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert 5 < int(said.stdout) < 500 < len(held) >> 20
