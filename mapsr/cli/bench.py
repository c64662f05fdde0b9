"""`mapsr bench`: ratios measured in one run."""

import argparse
import json

from mapsr.cli.console import ConsoleProgress, say


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "bench",
        help="measure: ratios in one run, JSON on the last line",
        description="Measure speed and memory as ratios within one run on this machine; the last "
        "line is JSON.",
    )
    names = parser.add_subparsers(metavar="NAME", required=True)
    upsample = names.add_parser(
        "upsample",
        help="one 448 px chip, 768-channel tokens to refined labels, against dense features",
        description="AnyUp on one 448 x 448 px chip with 32 x 32 tokens of 768 channels, from "
        "tokens to refined labels: the operator algebra against features of every pixel, and "
        "against one forward pass of a ViT-B/14.",
    )
    upsample.add_argument("--repeats", type=int, default=3, help="timings, the shortest counts")
    upsample.add_argument("--device", default="cpu", help="torch's name of the device")
    upsample.set_defaults(run=bench_upsample)


def bench_upsample(arguments: argparse.Namespace) -> int:
    """Run the benchmark and print its table and its JSON line."""
    from mapsr.benchmarks.upsample import bench_upsample as measure

    result = measure(arguments.device, max(1, arguments.repeats), ConsoleProgress())
    say(f"ours     {result.seconds:7.2f} s  peak {result.peak_mib:6.0f} MiB")
    say(f"dense    {result.dense_seconds:7.2f} s  peak {result.dense_peak_mib:6.0f} MiB")
    say(f"ViT-B/14 {result.encoder_seconds:7.2f} s  one forward pass")
    say(f"AnyUp weights: {result.weights}; {result.device}, {result.threads} thread(s)")
    say(json.dumps(result.as_dict()))
    return 0
