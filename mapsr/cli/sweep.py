"""`mapsr run -m`: a sweep, by Hydra's own sweepers and launchers.

Hydra decides which cells there are and where each runs; what a cell leaves behind is its run
folder and a report in the sweep's folder, wherever it ran. So a sweep that is begun again runs
what is missing.
"""

import dataclasses
import itertools
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from mapsr.cli.advice import helpful
from mapsr.cli.compose import plain, readable, register, session
from mapsr.cli.console import ConsoleProgress, complain, configure_logging, note, say
from mapsr.cli.keys import settled
from mapsr.errors import ConfigError
from mapsr.experiment import RunSettings
from mapsr.guard import Guard
from mapsr.locks import BusyError
from mapsr.progress import Progress, Quiet
from mapsr.settings import assembled
from mapsr.tracking import fingerprint_hash, finished_metrics
from mapsr.tracking.commands import commanded
from mapsr.tracking.sweeps import State, SweepCell, SweepFolder

_CONFIG = "config"
_SWEEPS = Path("outputs/sweeps")
# Hydra leaves nothing but its list of overrides: run folder and report hold the rest.
_QUIET_HYDRA = {
    "hydra.output_subdir": "null",
    "hydra.sweep.subdir": ".",
    "hydra/hydra_logging": "none",
    "hydra/job_logging": "none",
}
Overrides = tuple[str, ...]


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep is to do.

    Attributes:
        cells: overrides of each cell, in the order that Hydra's basic sweeper gives them.
        overrides: of the whole sweep, Hydra's own settings included.
        folder: of the sweep.
    """

    cells: tuple[Overrides, ...]
    overrides: tuple[str, ...]
    folder: Path


def run_sweep(overrides: Sequence[str], *, show: bool = False) -> int:
    """Run every cell that is not done yet, and print what became of all.

    Args:
        overrides: as Hydra takes them; a comma separates values to try. Those that begin with
            "hydra" choose and set the launcher and the sweeper.
        show: print the cells, and run nothing.

    Returns:
        The exit status: 1 where a cell failed or has not reported.

    Raises:
        ConfigError: as ``plan_sweep`` does; or another process runs this sweep.
    """
    with session():
        plan = plan_sweep(overrides)
        if show:
            for cell in plan.cells:
                say(" ".join(cell))
            return 0
        guard = Guard()
        with SweepFolder(plan.folder).begin(plan.cells) as folder:
            try:
                with guard:
                    _launch(plan.overrides)
                folder.stopped(guard)
            finally:  # also when interrupted
                for line in table(folder.cells()):
                    say(line)
                say(f"sweep in {folder.path}")
    if guard.error:
        complain(f"the launcher stopped, jobs that it began may still run: {guard.error}")
    whole = all(cell.state in ("done", "skipped") for cell in folder.cells())
    return 0 if whole and not guard.error else 1


def plan_sweep(overrides: Sequence[str]) -> SweepPlan:
    """Compose every cell once, within a Hydra session, so that what is mistyped fails at once.

    Raises:
        ConfigError: an unknown key or choice in any cell, or one that would run a program.
        ConfigError: two cells would write into one run folder.
    """
    if any(override.startswith("config=") for override in overrides):
        raise ConfigError("config= repeats one run: leave it out of a sweep (-m), or leave out -m.")
    lines = [readable(override, sweep=True) for override in settled(overrides, note)]
    own = [line for line in lines if not _of_hydra(line)]
    for_hydra = _QUIET_HYDRA | dict(line.split("=", 1) for line in lines if _of_hydra(line))
    hydra = _compose_hydra(for_hydra, own)
    params = [f"{key}={value}" for key, value in (hydra.sweeper.get("params") or {}).items()]
    cells = _expand([*params, *own])
    configs = [_compose_cell(cell) for cell in cells]
    _check_outputs(cells, configs)
    identity = fingerprint_hash({"overrides": sorted([*params, *own])})
    folder = _SWEEPS / f"{configs[0]['name']}-{identity[:8]}"
    if "hydra.sweep.dir" in for_hydra:
        folder = Path(hydra.sweep.dir)
    for_hydra["hydra.sweep.dir"] = "'{}'".format(str(folder).replace("'", "\\'"))
    return SweepPlan(tuple(cells), (*_assign(for_hydra), *own), folder)


def run_cell(config: DictConfig) -> None:
    """Run one cell, in whatever process a launcher has brought it to, and write its report.

    Args:
        config: the cell's configuration, as Hydra composed it.
    """
    from mapsr.experiment import run_experiment

    register()
    if not logging.getLogger("mapsr").handlers:
        configure_logging(0)
    hydra: Any = HydraConfig.get()
    sweep = SweepFolder(Path(hydra.sweep.dir))
    cell = SweepCell(tuple(hydra.overrides.task))
    begin = time.monotonic()
    with (guard := Guard()):
        settings = assembled(RunSettings, plain(config)).grouped(sweep.path.name)
        fingerprint = settings.fingerprint()
        path = settings.path(fingerprint)
        cell = dataclasses.replace(cell, folder=str(path))
        metrics = None if settings.overwrite else finished_metrics(path, fingerprint)
        state: State = "done" if metrics is None else "skipped"
        if metrics is None:
            with commanded(["mapsr", "run", *cell.overrides]):
                _, metrics = run_experiment(settings, _progress(hydra.runtime.choices))
        miou, oa = (_number(metrics[key]) for key in ("miou", "oa"))
        cell = dataclasses.replace(cell, state=state, miou=miou, oa=oa)
    if guard.kind is BusyError:  # which is not a failure: the other one finishes it
        cell = dataclasses.replace(cell, state="open", error=guard.error)
    elif guard.error:
        cell = dataclasses.replace(cell, state="failed", error=guard.error, trace=guard.trace)
    cell = dataclasses.replace(cell, seconds=round(time.monotonic() - begin, 3))
    sweep.report(hydra.job.num, cell)
    label = labels([*sweep.planned(), cell.overrides])[-1]
    note(f"cell {hydra.job.num} ({label}): {cell.error or cell.state}")


def table(cells: Sequence[SweepCell]) -> list[str]:
    """Lay out what became of the cells, and below it why some failed."""
    names = labels([cell.overrides for cell in cells])
    rows = [("cell", "mIoU", "OA", "state", "folder")]
    for name, cell in zip(names, cells, strict=True):
        rows.append((name, _score(cell.miou), _score(cell.oa), cell.state, cell.folder or "-"))
    first, state = (max(len(row[column]) for row in rows) for column in (0, 3))
    lines = [
        f"{row[0]:{first}}  {row[1]:>6}  {row[2]:>6}  {row[3]:{state}}  {row[4]}" for row in rows
    ]
    errors = zip(names, cells, strict=True)
    return lines + [f"{name}: {cell.error}" for name, cell in errors if cell.error]


def labels(cells: Sequence[Overrides]) -> list[str]:
    """Name each cell by the overrides that not all cells share."""
    common = set.intersection(*map(set, cells)) if len(set(cells)) > 1 else set()
    return [" ".join(one for one in cell if one not in common) or "-" for cell in cells]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _of_hydra(line: str) -> bool:
    return line.lstrip("+").startswith(("hydra.", "hydra/"))


def _assign(values: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in values.items()]


def _compose_hydra(for_hydra: Mapping[str, str], own: Sequence[str]) -> Any:  # noqa: ANN401
    """Compose Hydra's own settings; an experiment among the other overrides may set them too."""
    with helpful(_CONFIG, own):
        parsed = OverridesParser.create().parse_overrides(list(own))
    fixed = [one.input_line for one in parsed if one.input_line and not one.is_sweep_override()]
    overrides = [*_assign(for_hydra), *fixed]
    with helpful(_CONFIG, overrides):
        return hydra_compose(_CONFIG, overrides, return_hydra_config=True).hydra


def _compose_cell(overrides: Overrides) -> dict[str, Any]:
    with helpful(_CONFIG, overrides):
        return plain(hydra_compose(_CONFIG, list(overrides)))


def _expand(overrides: Sequence[str]) -> list[Overrides]:
    """All cells, in the order that Hydra's basic sweeper gives them: the last key changes first."""
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    choices: dict[str, list[str]] = {}
    for override in parser.parse_overrides(list(overrides)):
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            choices[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise ConfigError(f"{override.input_line} lists no values: give them, as in key=a,b.")
    return list(itertools.product(*choices.values()))


def _check_outputs(cells: Sequence[Overrides], configs: Sequence[Mapping[str, Any]]) -> None:
    """No two cells may share an explicit run folder: one would give up the other's results."""
    seen: dict[str, Overrides] = {}
    for cell, config in zip(cells, configs, strict=True):
        output = config["output"]
        if output is not None and seen.setdefault(output, cell) != cell:
            raise ConfigError(
                f"output={output} is one folder for several cells: leave it out, or make it "
                "differ, as in output=FOLDER/s${seed}."
            )


def _launch(overrides: Sequence[str]) -> None:
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None  # within a session
    hydra.multirun(_CONFIG, run_cell, list(overrides), with_log_configuration=False)


def _progress(choices: Mapping[str, str]) -> Progress:
    # bars of several processes on one terminal would overwrite each other
    return Quiet() if choices["hydra/launcher"] == "joblib" else ConsoleProgress()
