"""Make the figures whose numbers and maps are those of tables."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mapsr.data import Scene, SceneSource
from mapsr.errors import DataError, near_match
from mapsr.evaluation.judging import read_labels
from mapsr.experiment.scenes import legends_of, scenes_of, source_of
from mapsr.files import write_text
from mapsr.geo import Grid, Window
from mapsr.report.figures import Panel, grid_figure
from mapsr.tables.accuracies import make_accuracies
from mapsr.tables.cells import TableCell
from mapsr.tables.cost import cost_column, cost_csv, cost_figure, cost_markdown, cost_points
from mapsr.tables.definitions import (
    CostDefinition,
    Definition,
    MapPanel,
    MapScene,
    MapsDefinition,
    TableDefinition,
)
from mapsr.tables.label_definitions import AccuracyDefinition, LabelFigureDefinition
from mapsr.tables.label_figures import make_label_figure
from mapsr.tables.loading import load_table
from mapsr.tables.making import Gathered, Made, Request, gather, make_table

# Side of the area shown where a definition names none.
_SIDE_PX = 512


def make(definition: Definition, request: Request) -> Made:
    """Make a table or a figure: run what is missing, and write its files.

    Raises:
        ConfigError: a definition, or the configuration of a cell, is wrong; a cell is stale.
        MapsrError: no cell at all can be run; a map or a scene can't be shown.
    """
    if isinstance(definition, TableDefinition):
        return make_table(definition, request)
    if isinstance(definition, AccuracyDefinition):
        return Made(make_accuracies(definition, request.overrides, request.folder), {})
    if isinstance(definition, LabelFigureDefinition):
        return Made(make_label_figure(definition, request.overrides, request.folder), {})
    if isinstance(definition, CostDefinition):
        return make_cost(definition, request)
    return make_maps(definition, request)


def tables_of(definition: Definition) -> list[TableDefinition]:
    """The tables whose cells a definition shows; none where it shows label runs.

    Raises:
        ConfigError: a table that a figure names is not there, or is wrong.
    """
    if isinstance(definition, TableDefinition):
        return [definition]
    if isinstance(definition, AccuracyDefinition | LabelFigureDefinition):
        return []
    if isinstance(definition, CostDefinition):
        return [load_table(definition.table)]
    return [load_table(name) for name in dict.fromkeys(one.table for one in definition.panels)]


def make_cost(definition: CostDefinition, request: Request) -> Made:
    """Write NAME.png, NAME.csv and NAME.md: cost against accuracy of the rows of a table.

    Raises:
        ConfigError: the table's definition, or a cell's configuration, is wrong; a cell is stale.
        MapsrError: no cell at all can be run.
    """
    (table,) = tables_of(definition)
    gathered = gather(table, request)
    column = cost_column(gathered.definition, definition.column)
    points = cost_points(gathered.definition, gathered.results, column, definition.costs)
    base = request.folder / definition.name
    paths = [base.with_name(f"{base.name}.{ending}") for ending in ("png", "csv", "md")]
    cost_figure(paths[0], points, definition.costs)
    write_text(paths[1], cost_csv(points, definition.costs))
    write_text(paths[2], cost_markdown(definition, points, gathered.provenance))
    return Made(tuple(paths), gathered.failures)


def make_maps(definition: MapsDefinition, request: Request) -> Made:
    """Write NAME.png and NAME.md: image, truth and maps of some cells side by side.

    A cell that failed leaves its panel out, and the Markdown says so.

    Raises:
        ConfigError: a definition, or a cell's configuration, is wrong; a cell is stale.
        DataError: a scene is not among those that the cells score.
        MapsrError: no cell at all can be run, or a raster can't be read.
    """
    gathered: dict[str, Gathered] = {}
    for table in tables_of(definition):
        panels = [one for one in definition.panels if table.name == _table_name(one)]
        gathered[table.name] = gather(_first_seeds(table, panels), request)
    done: list[tuple[str, TableCell]] = []
    missing: list[str] = []
    for panel in definition.panels:
        one = gathered[_table_name(panel)]
        title = panel.title or one.definition.row(panel.row).label
        cell = _first_done(one, panel)
        if cell is None:
            missing.append(title)
        else:
            done.append((title, cell))
    png, md = (request.folder / f"{definition.name}.{ending}" for ending in ("png", "md"))
    if done:
        _draw(png, definition, done)
    write_text(md, _markdown(definition, done, missing, gathered))
    failures = {name: why for one in gathered.values() for name, why in one.failures.items()}
    return Made((png, md) if done else (md,), failures)


def _table_name(panel: MapPanel) -> str:
    return Path(panel.table).stem if panel.table.endswith((".yaml", ".yml")) else panel.table


def _first_seeds(table: TableDefinition, panels: Sequence[MapPanel]) -> TableDefinition:
    """The table with nothing but the rows and columns of the panels, and one seed each."""
    rows = dict.fromkeys(table.row(panel.row).name for panel in panels)
    columns = dict.fromkeys(table.column(panel.column).name for panel in panels)
    return replace(
        table,
        rows=tuple(replace(row, seeds=row.seeds[:1]) for row in map(table.row, rows)),
        columns=tuple(map(table.column, columns)),
        average=None,
        reference=None,
    )


def _first_done(gathered: Gathered, panel: MapPanel) -> TableCell | None:
    columns = [column.name for column in gathered.definition.columns]
    # on other data a table's columns have become one
    column = panel.column if panel.column in columns else columns[0]
    for cell, found in gathered.cells:
        if (cell.row, cell.column) == (panel.row, column) and found.metrics:
            return cell
    return None


def _draw(path: Path, definition: MapsDefinition, cells: list[tuple[str, TableCell]]) -> None:
    first = cells[0][1]
    settings = first.settings
    legends = legends_of(settings)
    source = source_of(settings, legends)
    scenes = {one.name: one for one in scenes_of(settings, first.path / "scenes").score}
    rows, pixel_m = [], 1.0
    for chosen in _chosen(definition, scenes):
        scene = scenes[chosen.name]
        grid = source.grid(scene)
        window = _window(chosen, grid)
        pixel_m = grid.pixel_size[0]
        rows.append(_panels(source, scene, grid, window, cells))
    grid_figure(path, rows, legends.target, pixel_m)


def _panels(
    source: SceneSource,
    scene: Scene,
    grid: Grid,
    window: Window,
    cells: list[tuple[str, TableCell]],
) -> list[Panel]:
    """One row of the figure: image, truth where there is one, maps."""
    chip = source.read(scene, window)
    panels: list[Panel] = [("image", chip.image.numpy())]
    if chip.truth is not None:
        panels.append(("truth", chip.truth.numpy()))
    for title, cell in cells:
        panels.append((title, read_labels(cell.path / "maps" / f"{scene.name}.tif", grid, window)))
    return panels


def _chosen(definition: MapsDefinition, scenes: Mapping[str, Scene]) -> list[MapScene]:
    if isinstance(definition.scenes, int):
        return [MapScene(name, None) for name in sorted(scenes)[: definition.scenes]]
    for scene in definition.scenes:
        if scene.name not in scenes:
            raise DataError(
                f"figure '{definition.name}' shows scene '{scene.name}', which is not among the "
                f"{len(scenes)} scored ones.{near_match(scene.name, scenes)} Give the figure's "
                "definition scenes that are, or how many."
            )
    return list(definition.scenes)


def _window(scene: MapScene, grid: Grid) -> Window:
    wanted = Window(*scene.window) if scene.window else Window(0, 0, _SIDE_PX, _SIDE_PX)
    inside = wanted.intersect(grid.window)
    if inside is None:
        raise DataError(
            f"the window {list(scene.window or ())} lies outside of scene '{scene.name}', which "
            f"has {grid.height} x {grid.width} px; choose another one."
        )
    return inside


def _markdown(
    definition: MapsDefinition,
    cells: list[tuple[str, TableCell]],
    missing: list[str],
    gathered: Mapping[str, Gathered],
) -> str:
    lines = [f"# {definition.title}", "", definition.caption, ""]
    if cells:
        lines += [f"![{definition.title}]({definition.name}.png)", ""]
        lines += ["From left to right: the image, the truth, and the map of each run:", ""]
    lines += [f"- {title}: `{cell.path}`" for title, cell in cells]
    lines += [f"- {title}: – (no finished run)" for title in missing]
    lines += [""] + [f"- {note}" for note in definition.notes] + [""] * bool(definition.notes)
    provenances = [one.provenance for one in gathered.values()]
    data = tuple(dict.fromkeys(phrase for one in provenances for phrase in one.data))
    versions = tuple(dict.fromkeys(version for one in provenances for version in one.versions))
    return "\n".join([*lines, replace(provenances[0], data=data, versions=versions).text, ""])
