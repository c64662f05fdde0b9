"""`mapsr bench`: ratios measured in one run."""

import argparse
import json
from pathlib import Path

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
    _add_gpu(names)
    _add_scale(names)
    _add_all(names)


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


def _add_gpu(names: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    gpu = names.add_parser(
        "gpu",
        help="a map on a GPU: chips per second, stages, memory, how busy it is",
        description="Maps a drawn raster on one GPU with ViT-B/14 and AnyUp of random weights and "
        "the superpixel graph: chips and megapixels per second from file to file, seconds a chip "
        "of each stage, peak memory, and the share of the time that the GPU is busy (needs "
        "nvidia-ml-py). With --device cpu two chips in the same way on the CPU, which takes about "
        "a minute.",
    )
    gpu.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="where it computes")
    gpu.add_argument(
        "--speed", default="exact", choices=("exact", "fast"), help="as speed= of maps"
    )
    gpu.add_argument("--compile", action="store_true", help="let torch compile the encoder")
    gpu.add_argument("--batch", type=_count, help="chips at once; default: what memory takes")
    gpu.set_defaults(run=bench_gpu)


def _add_scale(names: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    scale = names.add_parser(
        "scale",
        help="cost of a county, a state, a country; what limits 1 to 1000 nodes",
        description="Records work units on one core of this machine, gives the cost of maps at 1 m "
        "from them, and simulates a Ray cluster with their times: efficiency from 1 to 1000 nodes, "
        "and what limits it: the head, its small files, the object store, or the store of the "
        "images. Takes a few minutes on one core.",
    )
    scale.add_argument("--actors", type=_count, default=16, help="of a node (16)")
    scale.add_argument(
        "--store", type=_rate, default=20480.0, help="MiB/s that the store of images gives (20480)"
    )
    scale.add_argument(
        "--network", type=_rate, default=1192.0, help="MiB/s that reach the head (1192: 10 Gbit/s)"
    )
    scale.add_argument("--seed", type=int, default=0, help="of the draw of recorded units")
    scale.set_defaults(run=bench_scale)


def _add_all(names: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    every = names.add_parser(
        "all",
        help="all benchmarks, into one table with machine, versions and ratios",
        description="Runs all benchmarks one after the other and writes bench.md and bench.json. "
        "What can't run here, such as that of a GPU where there is none, is named with its reason. "
        "Takes half an hour to an hour on two cores.",
    )
    every.add_argument("--output", default="outputs/bench", help="folder (outputs/bench)")
    every.add_argument("--only", nargs="+", metavar="NAME", help="some of them, by name")
    every.set_defaults(run=bench_all)


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"is {text}, expected a whole number of at least 1")
    return number


def _rate(text: str) -> float:
    if not 0 < (number := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"is {text}, expected MiB per second above 0")
    return number


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


def bench_gpu(arguments: argparse.Namespace) -> int:
    """Run the benchmark and print its table and its JSON line."""
    from mapsr.benchmarks.gpu import GpuChoice
    from mapsr.benchmarks.gpu import bench_gpu as measure

    choice = GpuChoice(arguments.device, arguments.speed, arguments.compile, arguments.batch)
    result = measure(choice, ConsoleProgress())
    busy = "not known" if result.utilisation is None else f"{100 * result.utilisation:.0f} %"
    for stage, seconds in result.stage_seconds.items():
        say(f"{stage:>12}  {1000 * seconds:8.1f} ms a chip")
    say(
        f"{result.device}: {result.chips_per_second:.2f} chips/s, {result.mpx_per_second:.2f} Mpx/s"
    )
    say(f"batch {result.batch}, peak {result.peak_mib:.0f} MiB, busy: {busy}")
    say(json.dumps(result.as_dict()))
    return 0


def bench_scale(arguments: argparse.Namespace) -> int:
    """Run the benchmark and print its tables and its JSON line."""
    from mapsr.benchmarks.scale import Sizes
    from mapsr.benchmarks.scale import bench_scale as measure
    from mapsr.benchmarks.scheduler import Cluster

    cluster = Cluster(arguments.actors, arguments.store, arguments.network)
    result = measure(Sizes(), ConsoleProgress(), cluster, arguments.seed)
    methods = list(result.core_seconds_per_mpx)
    say(f"{'at 1 m':>8}  {'km2':>9}  core hours: {', '.join(methods)}; map and disk, GiB")
    for name, area in result.areas.items():
        hours = "  ".join(f"{area.core_hours[one]:12.4g}" for one in methods)
        say(f"{name:>8}  {area.km2:9}  {hours}  {area.map_gib:8.3g}  {area.disk_gib:8.3g}")
    unit = result.measured
    say(
        f"a unit: {1000 * unit.head_seconds:.2f} ms of the head, {1000 * unit.file_seconds:.1f} ms "
        f"for its file, {unit.image_mib:.1f} MiB read, {unit.result_mib:.1f} MiB sent; "
        f"{result.unit_memory_mib:.0f} MiB of sums"
    )
    for method, rows in result.scaling.items():
        say(f"{method}, {cluster.actors} actors a node:")
        for row in rows:
            limit = f"limited by: {row.bottleneck}" if row.bottleneck else ""
            say(f"{row.nodes:>8} nodes  efficiency {row.efficiency:5.2f}  {limit}".rstrip())
    say(json.dumps(result.as_dict()))
    return 0


def bench_all(arguments: argparse.Namespace) -> int:
    """Run all benchmarks, and write one table."""
    from mapsr.benchmarks.every import bench_all as measure
    from mapsr.cli.compose import compose_label

    found = measure(Path(arguments.output), arguments.only, compose_label, ConsoleProgress())
    say(found.table())
    say(json.dumps(found.as_dict()))
    return 0
