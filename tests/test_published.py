"""What was published, typed a second time from the paper and the lists: each cell and tile."""

from mapsr.data.chesapeake.splits import PAPER_TILES
from mapsr.tables.definitions import AVERAGE
from mapsr.tables.loading import load_table

# the lists of MapSR's repository, by state and UTM zone
TILES = {
    "de": {
        18: """
            3807503_ne 3807505_ne 3807512_ne 3807512_se 3807519_nw
            3807520_nw 3807522_se 3807523_ne 3807523_nw 3907519_se
        """,
    },
    "ny": {
        18: """
            4107507_ne 4207422_sw 4207451_ne 4207553_se 4207562_sw
            4207563_ne 4207617_sw 4207722_sw 4207745_ne 4207747_nw
        """,
    },
    "md": {
        18: """
            3807502_sw 3807543_se 3807604_ne 3807643_nw 3807739_ne
            3807739_se 3907619_sw 3907655_ne 3907728_nw 3907730_se
        """,
    },
    "pa": {
        17: "3907821_ne 4007801_nw 4007807_ne 4007837_ne",
        18: "3907506_sw 4007606_ne 4007746_nw 4107649_ne 4107749_nw 4107757_sw",
    },
    "va": {
        17: "3707814_se 3707860_nw 3707919_se 3708046_nw 3807819_ne",
        18: "3707518_sw 3707601_nw 3707710_nw 3707710_sw 3707747_ne",
    },
    "wv": {
        17: """
            3708003_ne 3708021_sw 3807902_nw 3807941_ne 3808024_ne
            3808024_sw 3808059_se 3907842_se 3907852_sw 3907857_nw
        """,
    },
}
# MapSR's Table I, line by line: Delaware, New York, Maryland, Pennsylvania, Virginia, West
# Virginia, average
STATES = ("de", "ny", "md", "pa", "va", "wv", AVERAGE)
TABLE_1 = """
    kmeans_voting      0   32.70 50.87 46.74 51.34 43.45 45.53 45.11
    paraformer   145.4     54.95 63.83 66.10 56.83 66.23 49.27 59.54
    l2hnet        36.92    46.37 59.87 44.16 49.00 65.09 46.80 51.88
    efficientvit  51.31    48.13 40.65 45.48 45.04 45.66 32.10 42.84
    efficientvim  21.70    46.81 53.43 50.41 44.28 45.09 40.87 46.82
    unetformer    11.72    55.08 66.88 66.83 60.04 54.70 42.66 57.70
    mapsr          0.004   60.91 62.40 66.19 60.26 57.78 50.31 59.64
    mapsr_hr       0       63.51 67.91 70.19 65.78 57.92 54.31 63.27
"""
TABLE_2 = {
    "no_upsampling": 57.70,
    "upsampled": 61.77,
    "pixel_graph": 62.26,
    "superpixel_graph": 62.40,
}


def test_the_sixty_tiles_are_those_of_the_published_lists():
    for state, zones in TILES.items():
        typed = {f"m_{one}_{zone}_1" for zone, names in zones.items() for one in names.split()}
        assert len(typed) == 10
        assert set(PAPER_TILES[state]) == typed, state
    assert set(PAPER_TILES) == set(TILES)


def percent(shares):
    return {name: round(100 * share, 4) for name, share in shares.items()}


def test_every_cell_of_table_1_is_the_published_one():
    typed = {}
    for line in TABLE_1.strip().splitlines():
        name, parameters, *cells = line.split()
        shown = dict(zip(STATES, map(float, cells), strict=True))
        typed[name] = (round(1e6 * float(parameters)), shown)
    found = {row.name: row for row in load_table("table1").rows if row.published}
    assert found.keys() == typed.keys()
    for name, row in found.items():
        assert (row.published_parameters, percent(row.published)) == typed[name], name
    # and beside them, in West Virginia
    patches = {row.name: row for row in load_table("table1_patches").rows if row.published}
    assert patches.keys() == typed.keys()
    for name, row in patches.items():
        parameters, cells = typed[name]
        assert (row.published_parameters, percent(row.published)) == (parameters, {"": cells["wv"]})


def test_every_cell_of_table_2_is_the_published_one():
    rows = load_table("table2").rows
    assert {row.name: percent(row.published)["ny"] for row in rows} == TABLE_2
    own = {"nearest": 57.70, "anyup_paper": 61.77, "pixels": 62.26, "superpixels": 62.40}
    patches = [row for row in load_table("table2_patches").rows if row.published]
    assert {row.name: percent(row.published)[""] for row in patches} == own
