"""Figures of label runs: their rounds side by side, and what cities are made of."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mapsr.errors import ConfigError, DataError, require_choice
from mapsr.files import write_text
from mapsr.geo import Grid, Window, image_info, read_class_colors, read_class_names, read_grid
from mapsr.geo.rasters import read_codes, read_image
from mapsr.legends import NODATA, LandClass, Legend
from mapsr.quoting import csv_text
from mapsr.report.cities import complete_shares, composition_figure
from mapsr.report.figures import Panel, grid_figure
from mapsr.tables.formats import pipes
from mapsr.tables.label_definitions import LabelFigureDefinition
from mapsr.tables.label_runs import LabelRun, refuse, runs_of
from mapsr.tables.layout import NOTHING

_SIDE_PX = 1024
"""Side of the area shown where no window is named: as much as a panel can show."""


def make_label_figure(
    definition: LabelFigureDefinition, overrides: Sequence[str], folder: Path
) -> tuple[Path, ...]:
    """Write a figure of one label run or comparison, with its numbers as Markdown and CSV.

    Rounds: NAME_labels.png and, of a run that was expanded, NAME_models.png. Composition: NAME.png.

    Args:
        definition: of the figure.
        overrides: ``runs=FOLDER``, and ``scene=``, ``image=``, ``window=`` of rounds or
            ``product=`` of a composition.
        folder: where the files go.

    Returns:
        The files.

    Raises:
        ConfigError: there is another override, or not one folder.
        DataError: the folder holds no such results.
        RasterError: a map can't be read.
    """
    runs, others = runs_of(overrides)
    own = ["scene", "image", "window"] if definition.shows == "rounds" else ["product"]
    refuse(others, ["runs", *own], definition.name)
    if len(runs) != 1:
        raise ConfigError(
            f"runs= names {len(runs)} folders, expected one: '{definition.name}' shows what is in "
            "it."
        )
    make = _make_rounds if definition.shows == "rounds" else _make_composition
    return make(definition, runs[0], others, folder / definition.name)


def _make_rounds(
    definition: LabelFigureDefinition, run: LabelRun, others: Mapping[str, str], base: Path
) -> tuple[Path, ...]:
    entries = run.metrics.get("rounds") or []
    if not entries:
        raise DataError(f"'{run.path}' has no rounds, expected a finished run of `mapsr label`.")
    numbers = [int(entry["round"]) for entry in entries]
    scene = _scene(run.path / "labels" / "round_0", others.get("scene"))
    labels = [
        (f"Label_Map{number}", run.path / "labels" / f"round_{number}" / f"{scene}.tif")
        for number in numbers
    ]
    final = run.path / "maps" / f"{scene}.tif"
    labels += [("final map", final)] if final.exists() else []
    models = [
        (f"model of Label_Map{number - 1}", run.path / "models" / f"round_{number}" / "NAME")
        for number in numbers[1:]
    ]
    models = [(title, path.with_name(f"{scene}.tif")) for title, path in models]
    image = Path(others["image"]) if "image" in others else None
    grid = read_grid(labels[0][1])
    window = _window(others.get("window"), grid)
    written = []
    for ending, maps in (("labels", labels), ("models", models)):
        if maps:
            written.append(base.with_name(f"{base.name}_{ending}.png"))
            _draw(written[-1], maps, image, grid, window)
    lines = list(_round_rows(definition, run))
    written += [base.with_name(f"{base.name}.{ending}") for ending in ("md", "csv")]
    shown = {path.stem.rpartition("_")[2]: path.name for path in written[:-2]}
    write_text(written[-2], _markdown(definition, run, lines, shown))
    write_text(written[-1], _csv(lines))
    return tuple(written)


def _scene(folder: Path, wanted: str | None) -> str:
    """The scene to show: the one that is named, else the first."""
    layers = re.compile(r".*_(confidence|provenance|round)")
    found = sorted(path.stem for path in folder.glob("*.tif"))
    scenes = [name for name in found if not (layers.fullmatch(name) and _base(name) in found)]
    if not scenes:
        raise DataError(f"'{folder}' holds no label map, expected one for each image of the run.")
    return require_choice(wanted, scenes, "scene") if wanted else scenes[0]


def _base(name: str) -> str:
    return name.rpartition("_")[0]


def _window(text: str | None, grid: Grid) -> Window:
    if text is None:
        return Window(0, 0, min(_SIDE_PX, grid.height), min(_SIDE_PX, grid.width))
    numbers = text.strip("[]").split(",")
    if len(numbers) != 4 or not all(one.strip().isdigit() for one in numbers):
        raise ConfigError(f"window={text}, expected [first row, first column, height, width].")
    row, column, height, width = map(int, numbers)
    wanted = Window(row, column, height, width) if height and width else None
    inside = wanted.intersect(grid.window) if wanted else None
    if inside is None:
        raise ConfigError(
            f"window={text} lies outside of {grid.height} x {grid.width} pixels, expected an area "
            "inside."
        )
    return inside


def _draw(
    path: Path,
    maps: Sequence[tuple[str, Path]],
    image: Path | None,
    grid: Grid,
    window: Window,
) -> None:
    panels: list[Panel] = []
    if image is not None:
        info = image_info(image)
        scale = float(np.iinfo(info.dtype).max) if info.dtype.startswith("uint") else 1.0
        panels.append(("image", read_image(image, window, min(3, info.bands), scale)[0]))
    for title, one in maps:
        codes = read_codes(one, grid, window)
        panels.append((title, np.where(codes < 0, NODATA, codes).astype(np.uint8)))
    grid_figure(path, [panels], _legend(maps[0][1]), grid.pixel_size[0])


def _legend(path: Path) -> Legend:
    """The legend that a label map of mapsr holds itself."""
    names = read_class_names(path)
    if not names:
        raise DataError(f"{path} holds no class names, expected a label map of mapsr.")
    colors = read_class_colors(path)
    classes = [
        LandClass(code, name, color)
        for code, (name, color) in enumerate(zip(names, colors, strict=False))
    ]
    return Legend("map", "map", str(path), tuple(classes))


def _round_rows(
    definition: LabelFigureDefinition, run: LabelRun
) -> Iterator[dict[str, float | int | None]]:
    """A row for each label map, with the model that learnt from it, which votes in the next."""
    entries = run.metrics["rounds"]
    rejected = (run.metrics.get("rejected") or {}).get("model")
    voters = [*(entry.get("model") for entry in entries[1:]), rejected]
    for entry, model in zip(entries, voters, strict=True):
        published = definition.published.get(str(entry["round"]))
        yield {
            "round": entry["round"],
            "trusted": entry["trusted"],
            "ratio": entry.get("ratio"),
            "oa_trusted": entry.get("oa_trusted"),
            "model_oa": (model or {}).get("oa"),
            "published_model_oa": None if published is None else published / 100,
        }


def _markdown(
    definition: LabelFigureDefinition,
    run: LabelRun,
    rows: Sequence[Mapping[str, float | int | None]],
    shown: Mapping[str, str],
) -> str:
    text = [f"# {definition.title}", "", definition.caption, ""]
    for ending, name in shown.items():
        text += [f"![{ending} of each round]({name})", ""]
    heads = ["labels", "trusted (%)", "Ratio (%)", "OA of trusted (%)", "OA of the model (%)"]
    text += [pipes([*heads, "published OA of the model (%)"]), pipes(["--:"] * 6)]
    for row in rows:
        number, *values = row.values()
        text.append(pipes([f"Label_Map{number}", *map(_percent, values)]))
    final = run.metrics.get("final") or {}
    text += ["", f"OA of the final map: {_percent(final.get('oa'))} %.", ""]
    text += ["A model stands beside the labels that it learnt from.", ""]
    return "\n".join([*text, *(f"- {note}" for note in definition.notes), "", f"`{run.path}`", ""])


def _make_composition(
    definition: LabelFigureDefinition, run: LabelRun, others: Mapping[str, str], base: Path
) -> tuple[Path, ...]:
    cities = run.comparison.get("cities")
    if not cities or "colors" not in run.comparison:
        raise DataError(f"'{run.path}' has no cities, expected a folder of mapsr compare cities=.")
    products = list(cities["products"])
    wanted = others.get("product", products[0])
    product = cities["products"][require_choice(wanted, products, "product")]
    colors = run.comparison["colors"]
    groups = {city: one["group"] for city, one in cities["boundaries"].items()}
    by_city = {city: one["shares"] for city, one in product["by_city"].items()}
    paths = tuple(base.with_name(f"{base.name}.{ending}") for ending in ("png", "md", "csv"))
    composition_figure(paths[0], complete_shares(by_city, list(colors)), groups, colors)
    names = [*product["mean_shares"]]
    names += [name for name in definition.published if name not in names]
    rows = [
        {
            "class": name,
            "mean_share": product["mean_shares"].get(name),
            "published_mean_share": _fraction(definition.published.get(name)),
        }
        for name in names
    ]
    text = [f"# {definition.title}", "", definition.caption, ""]
    text += [f"![shares of classes by city]({paths[0].name})", ""]
    text += [f"{wanted}, {len(by_city)} cities:", ""]
    text += [pipes(["class", "mean share (%)", "published (%)"]), pipes(["---", "--:", "--:"])]
    for row in rows:
        name, *values = row.values()
        text.append(pipes([str(name), *map(_percent, values)]))
    text += ["", *(f"- {note}" for note in definition.notes), "", f"`{run.path}`", ""]
    write_text(paths[1], "\n".join(text))
    write_text(paths[2], _csv(rows))
    return paths


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    lines = [
        [f"{one:.6f}" if isinstance(one, float) else one for one in row.values()] for row in rows
    ]
    return csv_text([list(rows[0]), *lines])


def _fraction(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


def _percent(fraction: object) -> str:
    return f"{100 * fraction:.2f}" if isinstance(fraction, float | int) else NOTHING
