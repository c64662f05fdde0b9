"""How much memory this process holds, and has held."""

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def status_mib(key: str) -> float:
    """A number of Linux's account of this process, in MiB: VmRSS now, VmHWM at its peak.

    Raises:
        OSError: the system keeps no such account.
    """
    lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{key}:"))
    return int(line.split()[1]) / 1024


def peak_memory_mib() -> int | None:
    """Return the most memory this process has held, in MiB; None where it is not counted.

    What getrusage says of a process begins, on Linux, with what the one held that started it: it is
    asked only where there is nothing better.
    """
    if sys.platform == "win32":
        return None
    if sys.platform == "linux":
        try:
            return round(status_mib("VmHWM"))
        except OSError:  # /proc is not there
            pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, every other Unix KiB
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))
