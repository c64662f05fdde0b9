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
    _add_chips(names)
    regions = names.add_parser(
        "map",
        help="whole rasters: memory, linearity, overhead, two Ray nodes against one",
        description="Maps drawn rasters: peak memory on 12000 x 12000 px over that on 2000 x 2000 "
        "px and seconds per megapixel from 1 to 36 Mpx (weight-free encoder), the share of the "
        "time that is neither encoder nor the upsampler's networks (ViT-B/14, AnyUp), and two Ray "
        "nodes of one core against one. Takes 10 to 20 minutes on two cores.",
    )
    regions.set_defaults(run=bench_map)
    _add_fits(names)


def _add_chips(names: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add what measures one chip."""
    upsample = names.add_parser(
        "upsample",
        help="one 448 px chip, 768-channel tokens to refined labels, against dense features",
        description="AnyUp on one 448 x 448 px chip with 32 x 32 tokens of 768 channels, from "
        "tokens to refined labels: the operator algebra against features of every pixel, and "
        "against one forward pass of a ViT-B/14.",
    )
    upsample.add_argument("--repeats", type=int, default=3, help="timings, the shortest counts")
    devices = ("cpu", "cuda")
    upsample.add_argument("--device", default="cpu", choices=devices, help="where it computes")
    upsample.set_defaults(run=bench_upsample)
    chip = names.add_parser(
        "chip",
        help="one 448 px chip from image to refined labels, exact and fast, in encoder passes",
        description="Maps one drawn 448 x 448 px chip with ViT-B/14, AnyUp and the superpixel "
        "graph, exactly and with speed=fast, in turn with passes of the encoder in float32 alone. "
        "CPU seconds of one thread, so that other programs on the machine count little. Weights "
        "are random: they take the same time.",
    )
    chip.add_argument("--repeats", type=int, default=5, help="timings, the shortest counts")
    chip.set_defaults(run=bench_chip)


def _add_fits(names: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add what measures fits and votes."""
    fit = names.add_parser(
        "fit",
        help="probe and prompts of sixteen chips against one encoder pass over them",
        description="Fits class prompts on sixteen drawn chips of 448 px with ViT-B/14 and AnyUp: "
        "sampling, probe and prompts against one pass of the encoder over the same chips, with "
        "features that are known, and from cached tokens alone.",
    )
    fit.set_defaults(run=bench_fit)
    label = names.add_parser(
        "label",
        help="votes: memory and linearity from 4 to 64 patches, the share of vectors",
        description="Labels drawn regions of 4, 16 and 64 patches of 1024 x 1024 px by six "
        "products, one of vectors: peak memory on the large one over that on the small one, "
        "seconds a patch on one core over the sizes, the share of the time that reading and "
        "burning vectors takes, and the vote of one patch. Takes a few minutes on two cores.",
    )
    label.set_defaults(run=bench_label)


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


def bench_chip(arguments: argparse.Namespace) -> int:
    """Run the benchmark and print its table and its JSON line."""
    from mapsr.benchmarks.chip import bench_chip as measure

    result = measure(max(1, arguments.repeats), 448, ConsoleProgress())
    say(f"ViT-B/14 {result.encoder_seconds:7.2f} s  one pass in float32")
    for name, stages in (("exact", result.exact_stages), ("fast", result.fast_stages)):
        taken = result.exact_seconds if name == "exact" else result.fast_seconds
        parts = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in stages.items())
        say(f"{name:8} {taken:7.2f} s  {parts}")
    say(f"the fast encoder multiplies {result.fast_encoder}; one thread, CPU seconds")
    if result.note:
        say(result.note)
    say(json.dumps(result.as_dict()))
    return 0


def bench_map(arguments: argparse.Namespace) -> int:
    """Run the benchmark and print its table and its JSON line."""
    from mapsr.benchmarks.map import Sizes
    from mapsr.benchmarks.map import bench_map as measure

    result = measure(Sizes(), ConsoleProgress())
    for size, peak in result.peak_mib.items():
        say(f"{size:>14} px  peak {peak:6.0f} MiB")
    for size, seconds in result.seconds_per_mpx.items():
        say(f"{size:>14} px  {seconds:6.2f} s per Mpx")
    say(f"ViT-B/14 and AnyUp: {result.chip_seconds:.2f} s per chip, {result.workers} worker(s)")
    for nodes, rate in result.ray_units_per_second.items():
        say(f"Ray, {nodes}: {rate:.2f} chips per second")
    say(json.dumps(result.as_dict()))
    return 0


def bench_fit(arguments: argparse.Namespace) -> int:
    """Run the benchmark and print its table and its JSON line."""
    from mapsr.benchmarks.fit import bench_fit as measure

    result = measure(16, 448, ConsoleProgress())
    say(f"fit      {result.seconds:7.2f} s  sampling, probe, prompts")
    say(f"AnyUp    {result.upsampler_seconds:7.2f} s  operators of {result.chips} chips")
    say(f"ViT-B/14 {result.encoder_seconds:7.2f} s  one pass over them")
    say(json.dumps(result.as_dict()))
    return 0


def bench_label(arguments: argparse.Namespace) -> int:
    """Run the benchmark and print its table and its JSON line."""
    from mapsr.benchmarks.label import Sizes
    from mapsr.benchmarks.label import bench_label as measure
    from mapsr.cli.compose import compose_label

    result = measure(Sizes(), compose_label, ConsoleProgress())
    for size, peak in result.peak_mib.items():
        say(f"{size:>10}  peak {peak:6.0f} MiB")
    for size, seconds in result.seconds_per_patch.items():
        say(f"{size:>10}  {seconds:6.3f} s a patch, one core")
    say(f"vote of {result.patch_px} px with {result.prompts} prompts: {result.vote_seconds:.3f} s")
    say(json.dumps(result.as_dict()))
    return 0
