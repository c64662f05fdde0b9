"""`mapsr run`: one experiment, or a sweep of them."""

import argparse
from typing import Any

from mapsr.cli.console import ConsoleProgress, say


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "run",
        help="fit, map and evaluate: one experiment, or a sweep",
        description="Fit a method, map the scored scenes, evaluate. Without any override it "
        "runs on drawn scenes, without network or weights. With -m every combination of the "
        "values is a run; those that are done already are skipped.",
        epilog="Examples: mapsr run refine=none; mapsr run experiment=paper data=geotiff "
        "data.root=FOLDER data.image='{scene}_image.tif' data.coarse='{scene}_nlcd.tif'; "
        "mapsr run -m refine=none,paper seed=0,1 hydra/launcher=joblib hydra.launcher.n_jobs=2. "
        "config=RUN/config.yaml repeats a run from its record, with changes where you give some "
        "(output=FOLDER keeps both). --show prints the composed configuration: every key can be "
        "overridden.",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="choices and settings")
    parser.add_argument(
        "-m", "--multirun", action="store_true", help="a sweep: key=a,b runs once for each value"
    )
    parser.add_argument("--show", action="store_true", help="print the configuration and stop")
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Run the experiment and print its scores, or run a sweep."""
    if arguments.multirun:
        from mapsr.cli.sweep import run_sweep

        return run_sweep(arguments.overrides, show=arguments.show)
    import yaml

    from mapsr.cli.repeat import run_settings
    from mapsr.experiment import finished_run, run_experiment
    from mapsr.settings import plain
    from mapsr.tracking.commands import commanded

    settings = run_settings(arguments.overrides)
    if arguments.show:
        say(yaml.safe_dump(plain(settings), sort_keys=False).rstrip())
        return 0
    done = finished_run(settings)
    with commanded(["mapsr", "run", *arguments.overrides]):
        folder, metrics = done or run_experiment(settings, ConsoleProgress())
    for line in report(metrics):
        say(line)
    before = " (finished before; overwrite=true runs it again)" if done else ""
    say(f"results in {folder}{before}")
    return 0


def report(metrics: dict[str, Any]) -> list[str]:
    """A table of the scores: map, probe and coarse product."""
    if metrics["miou"] is None:
        return ["no truth: nothing was scored"]
    names = list(metrics["iou"])
    lines = [f"{'':8} {'mIoU':>6} {'OA':>6}  " + "  ".join(names)]
    for label, scores in (
        ("map", metrics),
        ("probe", metrics["probe"]),
        ("coarse", metrics["coarse"]),
    ):
        if scores["miou"] is None:
            continue
        each = "  ".join(f"{_number(scores['iou'][name]):>{len(name)}}" for name in names)
        lines.append(f"{label:8} {scores['miou']:6.3f} {scores['oa']:6.3f}  {each}")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
