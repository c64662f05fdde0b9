"""How much memory this process holds, and has held."""

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def status_mib(key: str) -> float:
    """A number of Linux's account of this process, in MiB: VmRSS now, VmHWM at its peak.

    Raises:
        OSError: the system keeps no such account; containers that make up their own may lack a key.
    """
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"{_STATUS} has no {key}")


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
        except OSError:
            pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, every other Unix KiB
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))
