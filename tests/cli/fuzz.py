"""Commands on input that is damaged on purpose: none may end in a trace, or leave output behind.

    PYTHONPATH=tests python tests/cli/fuzz.py --minutes 10 --seed 0

Each case takes whole input of one kind (a raster, a VRT, a list, a legend, a fitted file, a run
folder, overrides), changes a few things in it that its format gives a meaning to, and runs a
command on it in this process. Seed and number say which case it was: `--only 123` runs it alone.
"""

import argparse
import contextlib
import io
import json
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import rasterio
import torch
from make_maps import QUICK, finished_run
from make_scenes import make_scene_folder
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mapsr.cli.main import main

ODD = (
    *(None, True, 0, -1, 1, 2, 255, 1 << 31, 1 << 70, 0.5, -0.0, 1e300, 1e-300, "", " ", "x"),
    *(float("nan"), float("inf"), float("-inf"), "null", "NaN", "../..", "a\0b", "a\nb", "=cmd|"),
    *("é", "\udce9", "x" * 300, "${x}", "[1, 2", [], {}, [1, 2], {"a": 1}, [[]] * 3, {"kind": "x"}),
)
LIMIT_S = 60.0
"""A case that takes longer counts as a fault: small input is done in a second."""


class World:
    """Whole input, made once, that cases damage copies of."""

    def __init__(self, folder):
        self.folder = folder
        self.scenes = make_scene_folder(folder / "scenes")
        self.run = finished_run(self.scenes, folder / "run")
        self.image = self.scenes / "val" / "village_naip.tif"
        self.coarse = self.scenes / "val" / "village_nlcd_30m.tif"

    def map_command(self, out, **given):
        values = {"image": self.image, "coarse": self.coarse, "out": out} | given
        words = [f"{key.replace('__', '.')}={value}" for key, value in values.items()]
        quick = () if "fitted" in given else QUICK
        return ["map", *quick, *(word for word in words if not word.endswith("=None"))]


def damaged_bytes(draw, content):
    """Bytes with some changed, cut off, doubled or removed."""
    content = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8, 40))):
        place = draw.randrange(len(content) or 1)
        kind = draw.randrange(5)
        if kind == 0 and content:
            content[min(place, len(content) - 1)] = draw.randrange(256)
        elif kind == 1:
            del content[place:]
        elif kind == 2:
            content[place:place] = content[place : place + draw.randrange(64)]
        elif kind == 3:
            del content[place : place + draw.randrange(16)]
        else:
            content[place:place] = draw.randbytes(draw.randrange(8))
    return bytes(content)


def damaged_text(draw, text):
    """Text with words, numbers, lines and marks changed."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        lines = text.splitlines() or [""]
        row = draw.randrange(len(lines))
        words = lines[row].split(" ")
        word = draw.randrange(len(words))
        kind = draw.randrange(6)
        if kind == 0:
            words[word] = str(draw.choice(ODD))
        elif kind == 1:
            words[word] += draw.choice(",:;#'\"[]{}<>&*!|%@\t\0=-/\\")
        elif kind == 2:
            del words[word]
        elif kind == 3:
            lines.insert(row, draw.choice(lines))
        elif kind == 4:
            lines[row:] = []
            text = "\n".join(lines)
            continue
        else:
            words = [str(draw.choice(ODD)) if one.strip("-.").isdigit() else one for one in words]
        lines[row : row + 1] = [" ".join(words)] if row < len(lines) else []
        text = "\n".join(lines)
    return text


def damaged_value(draw, value):
    """A tree of JSON with one or some of its leaves or branches changed."""
    if draw.random() < 0.15:
        return draw.choice(ODD)
    if isinstance(value, dict) and value:
        key = draw.choice(list(value))
        kind = draw.randrange(8)
        if kind == 0:
            return {k: v for k, v in value.items() if k != key}
        if kind == 1:
            return value | {draw.choice(("x", "kind", key + "_")): value[key]}
        return value | {key: damaged_value(draw, value[key])}
    if isinstance(value, list) and value:
        place = draw.randrange(len(value))
        changed = damaged_value(draw, value[place])
        return draw.choice(
            (value[:place], [*value[:place], changed, *value[place + 1 :]], value * 2)
        )
    return draw.choice(ODD)


def damaged_tensors(draw, tensors):
    """Tensors with one removed, renamed, of another shape or type, or with odd numbers."""
    tensors = dict(tensors)
    name = draw.choice(list(tensors))
    one = tensors[name].clone()
    kind = draw.randrange(7)
    if kind == 0:
        del tensors[name]
        return tensors
    if kind == 1:
        return tensors | {"extra": one}
    if kind == 2:
        one = one.flatten()[: draw.randrange(one.numel() + 1)].clone()
    elif kind == 3:
        one = one.to(draw.choice((torch.float16, torch.float64, torch.int64, torch.uint8)))
    elif kind == 4:
        one = one[None].clone()
    elif one.is_floating_point() and one.numel():
        odd = draw.choice((float("nan"), float("inf"), -float("inf"), 1e38, 0.0))
        one.view(-1)[draw.randrange(one.numel())] = odd
        if draw.random() < 0.3:
            one.fill_(odd)
    else:
        one = torch.full_like(one, draw.choice((0, -1, 7)))
    return tensors | {name: one}


def raster_case(draw, world, folder):
    """A raster with damaged bytes, or of odd type, place, nodata or values."""
    source = draw.choice((world.image, world.coarse))
    path = folder / "in.tif"
    if draw.random() < 0.5:
        path.write_bytes(damaged_bytes(draw, source.read_bytes()))
    else:
        write_odd_raster(draw, source, path)
    key = "image" if source == world.image else "coarse"
    return draw.choice((map_or_doctor, fitted_map))(draw, world, folder, {key: path})


def write_odd_raster(draw, source, path):
    """Write a raster again with a few of its properties changed."""
    with rasterio.open(source) as dataset:
        values, profile = dataset.read(), dict(dataset.profile)
    dtype = draw.choice(("uint8", "int16", "uint16", "int32", "float32", "float64", "complex64"))
    values = values.astype(dtype)
    if "float" in dtype:
        values.reshape(-1)[:: draw.randrange(1, 9)] = draw.choice(
            (np.nan, np.inf, -np.inf, 0.5, -7)
        )
    bands = draw.choice((1, len(values), len(values)))
    size = draw.choice((slice(None), slice(None), slice(0, 1), slice(0, 3)))
    values = values[:bands, size]
    place = profile["transform"]
    odd = draw.choice((0.0, -1.0, 1e-16, 1e-9, 0.3, 1e9, 1e300))
    fields = [*place[:6]]
    for _ in range(draw.choice((0, 0, 1, 2))):
        fields[draw.randrange(6)] = odd
    crs = draw.choice((profile["crs"],) * 4 + (None, "EPSG:4326", "EPSG:3857", "EPSG:3413"))
    options = {"driver": "GTiff", "count": bands, "height": values.shape[1], "dtype": dtype}
    nodata = draw.choice((None, None, 0, 255, -1 if dtype[0] != "u" else 3))
    with rasterio.open(
        *(path, "w"),
        **(options | {"width": values.shape[2], "crs": crs, "nodata": nodata}),
        transform=rasterio.Affine(*fields),
    ) as dataset:
        dataset.write(values)


def vrt_case(draw, world, folder):
    """A VRT whose elements are damaged."""
    source = draw.choice((world.image, world.coarse))
    with rasterio.open(source) as dataset:
        place = ", ".join(map(str, dataset.transform.to_gdal()))
        bands = "\n".join(
            f'<VRTRasterBand dataType="Byte" band="{band}">\n<SimpleSource>\n'
            f'<SourceFilename relativeToVRT="0">{source}</SourceFilename>\n'
            f"<SourceBand>{band}</SourceBand>\n</SimpleSource>\n</VRTRasterBand>"
            for band in dataset.indexes
        )
        text = (
            f'<VRTDataset rasterXSize="{dataset.width}" rasterYSize="{dataset.height}">\n'
            f"<SRS>{dataset.crs.to_wkt()}</SRS>\n<GeoTransform>{place}</GeoTransform>\n"
            f"{bands}\n</VRTDataset>"
        )
    path = folder / "in.vrt"
    path.write_bytes(damaged_text(draw, text).encode(errors="surrogateescape"))
    key = "image" if source == world.image else "coarse"
    return draw.choice((map_or_doctor, fitted_map))(draw, world, folder, {key: path})


def list_case(draw, world, folder):
    """A CSV list of images, damaged."""
    rows = ["image_fn,label_fn,truth_fn"]
    rows += [f"{world.image} , {world.coarse} ,", f"{world.scenes}/train/field_naip.tif , ,"]
    path = folder / "list.csv"
    path.write_bytes(damaged_text(draw, "\n".join(rows)).encode(errors="surrogateescape"))
    return map_or_doctor(draw, world, folder, {"image": path}, out="maps")


def legend_case(draw, world, folder):
    """A legend or crosswalk of one's own, damaged."""
    import mapsr.legends as legends

    products = Path(legends.__file__).parent
    kind = draw.choice(("coarse", "target", "crosswalk", "soft"))
    names = {"coarse": "products/nlcd", "target": "products/chesapeake4"}
    names |= {"crosswalk": "crosswalks/paraformer", "soft": "tables/nlcd-definition"}
    found = next(iter(products.glob(f"{names[kind]}.yaml")), products / "products/nlcd.yaml")
    path = folder / "mine.yaml"
    text = damaged_text(draw, found.read_text(encoding="utf-8"))
    path.write_bytes(text.encode(errors="surrogateescape"))
    return map_or_doctor(draw, world, folder, {f"legend__{kind}": path})


def fitted_case(draw, world, folder):
    """A fitted file whose bytes, metadata or tensors are damaged."""
    source, path = world.run / "fitted.safetensors", folder / "fitted.safetensors"
    kind = draw.randrange(5)
    if kind == 0:
        path.write_bytes(damaged_bytes(draw, source.read_bytes()))
    else:
        with safe_open(source, framework="pt") as opened:
            about = json.loads(opened.metadata()["mapsr"])
        tensors = load_file(source)
        if kind < 4:
            about = damaged_value(draw, about)
        else:
            tensors = damaged_tensors(draw, tensors)
        said = json.dumps(about) if draw.random() < 0.97 else damaged_text(draw, json.dumps(about))
        save_file(tensors, path, {"mapsr": said.encode("utf-8", "replace").decode()})
    return map_or_doctor(draw, world, folder, {"fitted": path, "coarse": None})


def run_case(draw, world, folder):
    """A finished run, one of whose files is damaged, removed or a folder; the command again."""
    run = folder / "run"
    shutil.copytree(world.run, run)
    path = draw.choice(sorted(one for one in run.rglob("*") if one.is_file()))
    kind = draw.randrange(5)
    content = path.read_bytes()
    path.unlink()
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        path.symlink_to(draw.choice((path, "/nowhere/at/all", run)))
    elif kind == 2 and path.suffix == ".json":
        path.write_text(json.dumps(damaged_value(draw, json.loads(content))))
    elif kind == 3:
        path.write_bytes(damaged_bytes(draw, content))
    if draw.random() < 0.5:
        return map_or_doctor(draw, world, folder, {"fitted": run, "coarse": None})
    data = (
        *("data=geotiff", f"data.root={world.scenes}", "data.image=*/{scene}_naip.tif"),
        *("data.coarse=*/{scene}_nlcd_30m.tif", "data.truth=*/{scene}_cclc.tif"),
        *("data.fit=train/*", "data.score=val/*", "logger=none"),
    )
    return ["run", *QUICK, *data, f"output={run}"], ()


def override_case(draw, world, folder):
    """Overrides of keys that there are and are not, with values that fit and do not."""
    keys = (
        *(
            "seed",
            "windows",
            "windows.chip",
            "windows.overlap",
            "refine",
            "refine.alpha",
            "backbone",
        ),
        *("upsampler", "prompts", "prompts.pixels", "legend.coarse", "legend", "cache", "logger"),
        *("data", "data.root", "network", "training", "method", "experiment", "engine.workers"),
        *("compute.device", "name", "output", "x", "hydra.x", "scale", "bands", "mosaic", "prior"),
    )
    values = (
        "1",
        "0.5",
        "none",
        "null",
        "[1,2]",
        "{a:1}",
        "nlcd",
        "1,2",
        "range(0,2)",
        "x{y}",
        "''",
    )
    words = []
    for _ in range(draw.choice((1, 1, 2, 3))):
        key = draw.choice(("", "", "", "", "+", "++", "~")) + draw.choice(keys)
        value = draw.choice((draw.choice(values), str(draw.choice(ODD))))
        words.append(
            damaged_text(draw, f"{key}={value}") if draw.random() < 0.2 else f"{key}={value}"
        )
    start = draw.choice((["run", "--show"], ["run", "-m", "--show"], ["map", "--show"]))
    if start[0] == "map":
        words = [f"image={world.image}", f"coarse={world.coarse}", "out=m.tif", *words]
    return [*start, "--", *words], ()


def fitted_map(draw, world, folder, given):
    """Map with the fitted method."""
    given = given | {"fitted": world.run}
    if "coarse" in given:
        del given["fitted"]
    out = folder / "out" / "m.tif"
    return world.map_command(out, **({"coarse": None} | given)), (out.parent,)


def map_or_doctor(draw, world, folder, given, out="m.tif"):
    """Map with what is given, or ask the doctor."""
    target = folder / "out" / out
    command = world.map_command(target, **given)
    if draw.random() < 0.25:
        words = [word for word in command[1:] if not word.startswith("out=")]
        return ["doctor", "--no-timing", *words], ()
    return command, (target.parent,)


CASES = (
    *(raster_case, vrt_case, list_case, legend_case, fitted_case, fitted_case, run_case),
    override_case,
)


def outcome(command):
    """Run a command; return its exit status and what it said, or the trace that it ended in."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            status = main(command)
        except SystemExit as end:
            status = end.code
        except BaseException as error:  # that is what is looked for
            if isinstance(error, KeyboardInterrupt):
                raise
            return None, f"{type(error).__name__}: {error}"
    return status, said.getvalue()


def fault_of(command, outputs, *, shown=False):
    """Run a case; return what is wrong with what came of it, or None."""
    begin = time.monotonic()
    status, said = outcome(command)
    if shown:
        tell(f"{command}\n{said}")
    if status is None or "does not expect" in said or "Traceback" in said:
        lines = [line for line in said.splitlines() if "does not expect" in line]
        return f"trace: {(lines or [said])[-1][:300]}"
    if time.monotonic() - begin > LIMIT_S:
        return f"slow: {time.monotonic() - begin:.0f} s"
    if status == 0:
        return None
    if not said.strip():
        return "no word on what failed"
    left = [p for folder in outputs for p in folder.rglob("*") if is_output(p)]
    whole = "not mapped" in said or "could not be mapped" in said  # the others are
    return f"output of a failing command: {left[0]}" if left and not whole else None


def is_output(path):
    """Whether a file could be taken for a map, or is a temporary one."""
    return path.is_file() and (path.suffix in (".tif", ".partial") or path.name.startswith("."))


def tell(text):
    """Write a line, whatever it holds."""
    sys.stdout.write(text.encode("ascii", "backslashreplace").decode() + "\n")
    sys.stdout.flush()


def fuzz(minutes, seed, only=None, world=None):
    """Run cases until the time is over; return how many of each kind, and the faults."""
    counts, faults = Counter(), []
    with tempfile.TemporaryDirectory() as place:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            world = world or World(Path(place))
        end, number = time.monotonic() + 60 * minutes, 0 if only is None else only
        while time.monotonic() < end:
            draw = random.Random(f"{seed}-{number}")
            make = draw.choice(CASES)
            with tempfile.TemporaryDirectory(dir=place) as folder, contextlib.chdir(folder):
                command, outputs = make(draw, world, Path(folder))
                fault = fault_of(command, outputs, shown=only is not None)
            counts[make.__name__] += 1
            if fault:
                faults.append(f"{make.__name__} {seed}-{number}: {fault}")
                tell(faults[-1])
            number += 1
            if only is not None:
                break
    return counts, faults


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="number of the one case to run")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    done, found = fuzz(given.minutes, given.seed, given.only)
    tell(f"{sum(done.values())} cases ({dict(done)}), {len(found)} faults")
    sys.exit(bool(found))
