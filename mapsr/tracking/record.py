"""The record of a run: everything that is needed to judge a number or to get it again."""

import os
import platform
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import mapsr
from mapsr.geo.states import state_of
from mapsr.memory import peak_memory_mib
from mapsr.redaction import redact_words
from mapsr.remote import RemotePath
from mapsr.tracking.commands import own_command
from mapsr.weights import sha256_of

# the packages whose version can change a result
PACKAGES = (
    "torch",
    "timm",
    "segmentation-models-pytorch",
    "numpy",
    "scipy",
    "scikit-image",
    "pynndescent",
    "rasterio",
    "lightning",
    "hydra-core",
    "safetensors",
    "wandb",
)

GIT_TIMEOUT_S = 10.0


class Stopwatch:
    """Adds up the seconds of each stage: ``with watch("encode"): ...``.

    A stage that is entered again adds to its sum; inside itself it is counted once. A stage
    inside another one counts for both. Threads add up: a stage that two threads were in for a
    second took two.

    Attributes:
        started: when the watch was made, UTC.

    Args:
        clock: gives seconds; None: that of the wall.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.started = datetime.now(UTC)
        self._clock = clock or time.perf_counter
        self._begin = self._clock()
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()
        self._local = threading.local()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the time of the block for ``stage``, also when the block raises."""
        depth: dict[str, int] = self._local.__dict__.setdefault("depth", {})
        with self._lock:
            self._seconds.setdefault(stage, 0.0)
        depth[stage] = depth.get(stage, 0) + 1
        begin = self._clock()
        try:
            yield
        finally:
            depth[stage] -= 1
            if depth[stage] == 0:
                with self._lock:
                    self._seconds[stage] += self._clock() - begin

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by stage, in the order of first entry, and their frame as "total"."""
        return {**self._seconds, "total": self._clock() - self._begin}


def collect_record(
    *,
    watch: Stopwatch,
    device: str,
    seeds: Mapping[str, int],
    weights: Sequence[Mapping[str, str]] = (),
    inputs: Sequence[Path] = (),
    command: Sequence[str] | None = None,
) -> dict[str, object]:
    """Gather the record of a run at its end, ready for JSON.

    Args:
        watch: the stopwatch of the run.
        device: the torch device that did the work, as torch writes it.
        seeds: what each seed is for -> the seed.
        weights: name and sha256 of each file of weights that was loaded.
        inputs: the files that were read; each of this machine is hashed in full.
        command: the command line; that of the run by default, see ``commanded``.

    Raises:
        OSError: an input can't be read any more.
    """
    return {
        "command": shlex.join(redact_words(own_command() if command is None else command)),
        "directory": str(Path.cwd()),
        "started": watch.started.isoformat(timespec="seconds"),
        "seconds": {stage: round(value, 3) for stage, value in watch.seconds.items()},
        "versions": versions(),
        "git": git_state(),
        "seeds": dict(seeds),
        "weights": [dict(item) for item in weights],
        "inputs": [fingerprint(path) for path in inputs],
        "device": device,
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "peak_memory_mib": peak_memory_mib(),
        "peak_cuda_memory_mib": peak_cuda_memory_mib(),
    }


def versions() -> dict[str, str]:
    """Return the versions of mapsr, Python and the packages here that can change a result."""
    found = {"mapsr": mapsr.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):  # of an extra, which was not needed
            found[name] = metadata.version(name)
    return found


def git_state(root: Path | None = None) -> dict[str, object] | None:
    """Return commit and cleanness of a checkout, or None where there is none.

    Args:
        root: the top folder of the checkout; by default the folder around this package.

    Returns:
        ``commit``, and ``dirty``, which is true where tracked files differ from it or new ones
        are not ignored; None without a checkout, a commit, or git.
    """
    root = Path(mapsr.__file__).parents[1] if root is None else root
    # an installed package may lie inside somebody else's checkout: that one says nothing about it
    if not (root / ".git").exists():
        return None
    commit, changes = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain")
    if commit is None or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


def fingerprint(path: Path) -> dict[str, object]:
    """Return path, size in bytes and SHA-256 of a file; the same content gives the same hash.

    Of one on the network, path and size, what its server says of its version, and a hash over its
    header: it is not fetched as a whole.

    Raises:
        OSError: the file can't be read.
        RasterError: what lies on the network can't be read.
    """
    if isinstance(path, RemotePath):
        size, *rest = state_of(path)
        return {"path": str(path), "size_bytes": size, "state": rest}
    return {
        "path": str(path),
        "size_bytes": path.stat().st_size,
        "sha256": sha256_of(path),
    }


def peak_cuda_memory_mib() -> int | None:
    """Return the most GPU memory that torch has held, in MiB; None where it used no GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    peak: int = round(torch.cuda.max_memory_allocated() / (1 << 20))
    return peak


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git says, or None where it can't say anything."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
