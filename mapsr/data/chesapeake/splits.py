"""Where the tiles of the Chesapeake benchmark lie, and which of them are scored.

Source: Robinson et al. 2019 (doi:10.1109/cvpr.2019.01301) for the folders; the lists of tiles that
MapSR publishes for the six states of its Table I.
"""

STATES = ("de", "md", "ny", "pa", "va", "wv")
"""Delaware, Maryland, New York, Pennsylvania, Virginia, West Virginia."""

PARTS = ("train", "val", "test")
"""The folders of a state."""

SPLITS = {"official": "test", "official_val": "val", "paper": None}
"""Split -> the part that is scored; None: the tiles of ``PAPER_TILES``, wherever they lie."""

FOLDER = "cvpr_chesapeake_landcover"
"""What the data set's folder is called."""

LEAST_TILES = {
    ("ny", "train"): 100,
    **dict.fromkeys([(state, "test") for state in STATES if state != "md"], 20),
    ("md", "test"): 19,
}
"""State and part -> how many tiles published lists name there, where there is such a list."""


def folder_name(state: str, part: str) -> str:
    """Return the folder of a state's part; two states were imaged a year later."""
    year = 2014 if state in ("va", "wv") else 2013
    return f"{state}_1m_{year}_extended-debuffered-{part}_tiles"


def _tiles(zone: int, names: str) -> tuple[str, ...]:
    """Return the tiles of one UTM zone by quadrangle and corner."""
    return tuple(f"m_{name}_{zone}_1" for name in names.split())


PAPER_TILES = {
    "de": _tiles(
        18,
        "3807523_ne 3807503_ne 3807520_nw 3807523_nw 3807519_nw 3807522_se 3807512_ne 3907519_se "
        "3807505_ne 3807512_se",
    ),
    "md": _tiles(
        18,
        "3907730_se 3907619_sw 3907655_ne 3807739_se 3807739_ne 3807643_nw 3807604_ne 3907728_nw "
        "3807543_se 3807502_sw",
    ),
    "ny": _tiles(
        18,
        "4207747_nw 4207617_sw 4207722_sw 4207563_ne 4207562_sw 4207553_se 4207451_ne 4207745_ne "
        "4207422_sw 4107507_ne",
    ),
    "pa": (
        *_tiles(18, "4107757_sw 4107649_ne 4007746_nw 4007606_ne 4107749_nw 3907506_sw"),
        *_tiles(17, "4007837_ne 4007807_ne 4007801_nw 3907821_ne"),
    ),
    "va": (
        *_tiles(18, "3707518_sw 3707710_sw 3707747_ne 3707601_nw 3707710_nw"),
        *_tiles(17, "3708046_nw 3807819_ne 3707814_se 3707860_nw 3707919_se"),
    ),
    "wv": _tiles(
        17,
        "3907857_nw 3808059_se 3907842_se 3808024_sw 3808024_ne 3807941_ne 3807902_nw 3907852_sw "
        "3708021_sw 3708003_ne",
    ),
}
"""State -> the ten tiles that the MapSR paper scores; New York's are official training tiles, so
numbers of this split can't be compared with those of the official test tiles."""
