"""All benchmarks, one after the other, in one table with the machine and its versions."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from mapsr.benchmarks.label import Compose
from mapsr.errors import MapsrError, require_choice
from mapsr.files import write_json, write_text
from mapsr.progress import Progress, Quiet
from mapsr.tracking.record import versions

Result = Mapping[str, object]
"""What a benchmark's ``as_dict`` gives."""


def _upsample(_: Compose) -> Result:
    from mapsr.benchmarks.upsample import bench_upsample

    return bench_upsample("cpu", 3, Quiet()).as_dict()


def _chip(_: Compose) -> Result:
    from mapsr.benchmarks.chip import bench_chip

    return bench_chip(5, 448, Quiet()).as_dict()


def _fit(_: Compose) -> Result:
    from mapsr.benchmarks.fit import bench_fit

    return bench_fit(16, 448, Quiet()).as_dict()


def _map(_: Compose) -> Result:
    from mapsr.benchmarks.map import Sizes, bench_map

    return bench_map(Sizes(), Quiet()).as_dict()


def _label(compose: Compose) -> Result:
    from mapsr.benchmarks.label import Sizes, bench_label

    return bench_label(Sizes(), compose, Quiet()).as_dict()


def _gpu(_: Compose) -> Result:
    from mapsr.benchmarks.gpu import GpuChoice, bench_gpu

    return bench_gpu(GpuChoice(), Quiet()).as_dict()


def _gpu_fast(_: Compose) -> Result:
    from mapsr.benchmarks.gpu import GpuChoice, bench_gpu

    return bench_gpu(GpuChoice(speed="fast"), Quiet()).as_dict()


def _scale(_: Compose) -> Result:
    from mapsr.benchmarks.scale import Sizes, bench_scale

    return bench_scale(Sizes(), Quiet()).as_dict()


BENCHMARKS: dict[str, Callable[[Compose], Result]] = {
    "upsample": _upsample,
    "chip": _chip,
    "fit": _fit,
    "map": _map,
    "label": _label,
    "gpu": _gpu,
    "gpu_fast": _gpu_fast,
    "scale": _scale,
}
"""By name, in the order in which they run."""


@dataclass(frozen=True)
class AllResults:
    """What all benchmarks gave.

    Attributes:
        machine: what they ran on.
        versions: of mapsr, Python and what can change a result.
        results: by benchmark.
        absent: by benchmark that could not run here, the reason.
    """

    machine: dict[str, str]
    versions: dict[str, str]
    results: dict[str, Result]
    absent: dict[str, str]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "machine": self.machine,
            "versions": self.versions,
            "results": self.results,
            "absent": self.absent,
        }

    def table(self) -> str:
        """As Markdown: one row for each number or text of each benchmark."""
        machine = "; ".join(f"{name}: {text}" for name, text in self.machine.items())
        made = ", ".join(f"{name} {text}" for name, text in self.versions.items())
        lines = ["# Benchmarks", "", machine, "", made, "", "| benchmark | what | value |"]
        lines.append("|---|---|---|")
        for name, result in self.results.items():
            lines += [f"| {name} | {what} | {text} |" for what, text in _flat(result)]
        lines += [f"| {name} | not run | {_text(reason)} |" for name, reason in self.absent.items()]
        return "\n".join(lines) + "\n"


def bench_all(
    folder: Path, only: Sequence[str] | None, compose: Compose, progress: Progress
) -> AllResults:
    """Run benchmarks, and write ``bench.md`` and ``bench.json`` after each one of them.

    Args:
        folder: for both.
        only: some of them; None: all.
        compose: makes the settings of `mapsr label`.
        progress: shows which one runs.

    Raises:
        ConfigError: there is no such benchmark.
    """
    for name in only or ():
        require_choice(name, BENCHMARKS, "--only")
    names = [name for name in BENCHMARKS if only is None or name in only]
    found = AllResults(_machine(), versions(), {}, {})
    folder.mkdir(parents=True, exist_ok=True)
    for name in progress.track(names, "bench", len(names)):
        try:
            found.results[name] = BENCHMARKS[name](compose)
        except MapsrError as error:
            found.absent[name] = str(error)
        write_text(folder / "bench.md", found.table())
        write_json(folder / "bench.json", found.as_dict())
    return found


def _machine() -> dict[str, str]:
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads of torch": str(torch.get_num_threads()),
    }
    if torch.cuda.is_available():
        found["GPU"] = torch.cuda.get_device_name(0)
    return found


def _processor() -> str:
    """The processor's name, where the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _flat(result: Mapping[str, object], head: str = "") -> list[tuple[str, str]]:
    """Each number and text with its path of keys; items of lists by their place."""
    found = []
    for key, value in result.items():
        name = f"{head}{key}"
        if isinstance(value, Mapping):
            found += _flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            for number, one in enumerate(value):
                inner = one if isinstance(one, Mapping) else {"": one}
                found += _flat(inner, f"{name}.{number}.")
        else:
            found.append((name.rstrip("."), _text(value)))
    return found


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "/")
