"""Definitions of tables and figures, and the committed ones."""

from statistics import fmean

import pytest
import yaml

from mapsr.errors import ConfigError
from mapsr.tables.definitions import AVERAGE, TableDefinition
from mapsr.tables.loading import definition_names, definitions_folder, load, load_table

SMALL = """
title: Small
caption: Two rows.
all: [data=chesapeake]
seeds: [4, 2]
average: Mean
columns:
  - {name: de, label: Delaware, overrides: ["data.states=[de]"]}
  - {name: ny, label: New York, overrides: ["data.states=[ny]", refine=none]}
rows:
  - name: one
    label: One
    category: first
    overrides: [method=mapsr]
    parameters_m: 0.004
    published: {de: 32.70, average: 45.11}
  - {name: two, label: Two, seeds: [7]}
"""
MAPS = """
kind: maps
title: Maps
caption: Side by side.
panels: [{table: small, row: one, column: ny, title: A}]
scenes: [{name: s, window: [1, 2, 3, 4]}, {name: t}]
"""


@pytest.fixture
def write(tmp_path):
    """Write a definition and return its path; ``changes`` are (old, new) texts."""

    def written(text=SMALL, *changes, name="small"):
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        return str(path)

    return written


def test_a_table_is_read_as_it_is_written(write):
    table = load_table(write())
    assert (table.name, table.title, table.average) == ("small", "Small", "Mean")
    assert table.overrides == ("data=chesapeake",)
    one, two = table.rows
    assert (one.seeds, two.seeds) == ((4, 2), (7,))
    assert one.published == {"de": pytest.approx(0.327), AVERAGE: pytest.approx(0.4511)}
    assert (one.published_parameters, two.published_parameters) == (4000, None)
    assert (two.category, two.overrides, two.published) == ("", (), {})
    assert [column.name for column in table.columns] == ["de", "ny"]
    assert table.show == ("miou",)


def test_a_table_without_columns_has_one_without_name(write):
    table = load_table(write("title: T\ncaption: C\nrows: [{name: a, label: A, published: 12.5}]"))
    assert [(column.name, column.overrides) for column in table.columns] == [("", ())]
    assert table.rows[0].published == {"": 0.125}
    assert table.rows[0].seeds == (0,)


def test_figures_are_read(write):
    maps = load(write(MAPS))
    assert [(one.table, one.row, one.column, one.title) for one in maps.panels] == [
        ("small", "one", "ny", "A")
    ]
    assert [(scene.name, scene.window) for scene in maps.scenes] == [
        ("s", (1, 2, 3, 4)),
        ("t", None),
    ]
    cost = load(write("{kind: cost, title: T, caption: C, table: table1, cost: seconds}"))
    assert (cost.table, cost.column, cost.costs) == ("table1", "", ("seconds",))
    several = "{kind: cost, title: T, caption: C, table: table1, cost: [annotation, seconds]}"
    assert load(write(several)).costs == ("annotation", "seconds")
    with pytest.raises(ConfigError, match=r"cost is 'years', expected one of annotation, fit_sec"):
        load(write(several.replace("seconds", "years")))
    for wrong in ("[]", "[seconds, seconds]"):
        with pytest.raises(ConfigError, match=r"cost is .*, expected one or more of .*, each once"):
            load(write(several.replace("[annotation, seconds]", wrong)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("caption:", "captoin:", r"small.yaml: unknown key 'captoin'.* Did you mean 'caption'"),
        ("title: Small", "title: 3", r"small.yaml: title is 3, expected a text"),
        ("title: Small\n", "", r"small.yaml: title is missing, expected a text"),
        (
            "title: Small\n",
            "title: A\ntitle: B\n",
            r"the key 'title' stands twice in one mapping .line 3",
        ),
        ("name: two", "name: two, name: too", r"the key 'name' stands twice"),
        ("name: two", "nam: two", r"rows\[1\]: unknown key 'nam'.* Did you mean 'name'"),
        ("name: two", "name: one", r"small.yaml: rows holds 'one' twice"),
        ("name: ny", "name: de", r"columns holds 'de' twice"),
        ("name: two", "name: t-o", r"rows\[1\]: name is 't-o', expected letters, digits and _"),
        ("name: ny", "name: average", r"columns\[1\]: name is 'average', expected another name"),
        ("{de: 32", "{dee: 32", r"rows\[0\]: a column of published is 'dee'.* mean 'de'"),
        ("32.70", "132.70", r"published is .*, expected percentages in \[0, 100\]"),
        ("32.70", "much", r"published is .*, expected percentages"),
        ("{de: 32.70, average: 45.11}", "32.7", r"published is 32.7, expected column: perc"),
        ("parameters_m: 0.004", "parameters_m: -1", r"parameters_m is -1, expected a number in"),
        ("[4, 2]", "[4, 4]", r"seeds is \[4, 4\], expected at least one seed, and each once"),
        ("[4, 2]", "[]", r"seeds is \[\], expected at least one seed"),
        ("[4, 2]", "[0.5]", r"seeds is \[0.5\], expected a list of whole numbers"),
        ("[method=mapsr]", "[method]", r"expected key=value and not 'method'"),
        ("[method=mapsr]", "method=mapsr", r"overrides is 'method=mapsr', expected a list"),
        ("[method=mapsr]", "[seed=3]", r"expected no 'seed=', which each cell has of its own"),
        ("average: Mean", "average: Mean\nreference: onee", r"reference is 'onee'.* mean 'one'"),
        ("average: Mean", "average: Mean\nshow: [mio]", r"an entry of show is 'mio'.*'miou'"),
        ("average: Mean", "average: Mean\nkind: tabel", r"kind is 'tabel'.* Did you mean 'table'"),
        ("average: Mean", "average: Mean\nscenes: 3", r"unknown key 'scenes'"),
        ("rows:", "rows: []\nnotes:", r"rows is \[\], expected at least one row"),
        ("rows:", "rows: 4\nnotes:", r"rows is 4, expected a list"),
        ("title: Small", "title: [", r"small.yaml is not valid YAML"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(write, old, new, message):
    with pytest.raises(ConfigError, match=message):
        load(write(SMALL, (old, new)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[1, 2, 3, 4]", "[1, 2, 3]", r"window is \[1, 2, 3\], expected \[first row"),
        ("[1, 2, 3, 4]", "[1, 2, 3, 0]", r"window is \[1, 2, 3, 0\], expected \[first row"),
        ("[{name: s, window: [1, 2, 3, 4]}, {name: t}]", "0", r"scenes is 0, expected at least"),
        ("panels: [{", "panels: [{roww: 3, ", r"panels\[0\]: unknown key 'roww'"),
        ("kind: maps", "kind: cost", r"unknown key 'panels'"),
    ],
)
def test_a_mistake_in_a_figure_is_named(write, old, new, message):
    with pytest.raises(ConfigError, match=message):
        load(write(MAPS, (old, new)))


def test_a_file_that_is_no_mapping_is_refused(write):
    with pytest.raises(ConfigError, match=r"small.yaml is \[1\], expected keys with values"):
        load(write("[1]"))


def test_an_average_needs_columns(write):
    with pytest.raises(ConfigError, match="average needs at least two columns"):
        load(write("{title: T, caption: C, average: A, rows: [{name: a, label: A}]}"))


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no table or figure 'tabel2'.* mean 'table2'"):
        load("tabel2")
    with pytest.raises(ConfigError, match=r"'elsewhere/mine.yaml' is not a file"):
        load("elsewhere/mine.yaml")
    with pytest.raises(ConfigError, match=r"'figure1' is a figure, expected a table"):
        load_table("figure1")


def test_rows_and_columns_are_found_by_name(write):
    table = load_table(write())
    assert table.row("two").label == "Two"
    assert table.column("ny").label == "New York"
    with pytest.raises(ConfigError, match=r"a row of table 'small' is 'too'.* mean 'two'"):
        table.row("too")
    with pytest.raises(ConfigError, match=r"a column of table 'small' is 'nyy'.* mean 'ny'"):
        table.column("nyy")


def test_other_data_takes_the_place_of_the_own_and_keeps_other_columns(write):
    table = load_table(write()).on_other_data("synthetic")
    assert table.overrides == ()
    assert [(c.name, c.overrides) for c in table.columns] == [("de", ()), ("ny", ("refine=none",))]
    assert "data=synthetic: the published numbers are of other data" in table.notes[0]


def test_columns_that_only_say_data_become_one_on_other_data(write):
    table = load_table(write(SMALL, (", refine=none]", "]"))).on_other_data("my-list")
    assert [(c.name, c.label, c.overrides) for c in table.columns] == [("my_list", "my-list", ())]
    assert table.average is None
    assert table.rows[0].published == {"my_list": pytest.approx(0.4511)}
    assert table.rows[1].published == {}


def test_committed_definitions_load():
    names = definition_names()
    tables = {"table1", "table2", "table1_patches", "table2_patches"}
    assert tables | {"figure1", "figure3"} <= set(names)
    for name in names:
        definition = load(name)
        assert definition.name == name
        assert isinstance(definition, TableDefinition) == name.startswith(("table", "speed"))


@pytest.mark.parametrize("name", ["figure1", "figure1_patches"])
def test_committed_cost_figures_show_a_column_of_their_table(name):
    figure = load(name)
    table = load_table(figure.table)
    assert figure.column in ("", AVERAGE, *(column.name for column in table.columns))
    assert figure.costs == ("annotation", "fit_seconds")  # as the paper's Figure 1


@pytest.mark.parametrize("name", ["figure3", "figure3_patches"])
def test_committed_map_figures_show_cells_of_their_tables(name):
    for panel in load(name).panels:
        table = load_table(panel.table)
        table.row(panel.row)
        table.column(panel.column)


def test_published_averages_are_those_of_the_published_columns():
    table = load_table("table1")
    published = [row for row in table.rows if row.published]
    assert len(published) == 8
    for row in published:
        columns = [row.published[column.name] for column in table.columns]
        # both were rounded to a hundredth of a percent
        assert abs(fmean(columns) - row.published[AVERAGE]) <= 0.0001


def test_the_tables_of_patches_have_the_rows_of_the_paper():
    for name in ("rows", "parameters_m"):
        texts = [(definitions_folder() / f"{one}.yaml") for one in ("table1", "table1_patches")]
        paper, patches = (yaml.safe_load(text.read_text())["rows"] for text in texts)
        key = "name" if name == "rows" else name
        assert [row.get(key) for row in paper] == [row.get(key) for row in patches]
