"""Whether a method can be fitted on a coarse product: where it lies, and what its codes are."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mapsr.errors import LegendError, MapsrError
from mapsr.findings import Finding, evenly, percent
from mapsr.geo import ImageInfo, image_info, overlap
from mapsr.geo.examination import (
    bounds_deg,
    center_deg,
    count_codes,
    crs_name,
    ground_size_m,
)
from mapsr.legends import (
    MASKED,
    MOST_UNKNOWN,
    Crosswalk,
    Legend,
    Legends,
    LegendSettings,
    code_table,
    legend_names,
    load_crosswalk,
    load_legend,
    unknown_codes,
)
from mapsr.region import Image
from mapsr.region.codes import COUNTED

_OFFERED = 3
"""Other legends that are named at most."""


def coarse_findings(images: Sequence[Image], settings: LegendSettings) -> Iterator[Finding]:
    """Say what a method could be fitted on.

    Args:
        images: that can be used.
        settings: which legends there are.

    Raises:
        LegendError: the legends or the crosswalk can't be loaded.
    """
    legends = Legends.load(settings, scored=False)
    pairs = [(one.info, one.coarse) for one in images if one.info and one.coarse]
    if len(pairs) < len(images):
        yield Finding("coarse", f"{len(images) - len(pairs)} of {len(images)} images have none")
    reached: list[tuple[ImageInfo, Path]] = []
    shares = []
    told: set[Path] = set()
    for info, path in pairs:
        try:
            if path not in told:
                told.add(path)
                if len(told) == 1:  # those of a list are alike
                    yield from _product(path, info)
            share = overlap(path, info.grid)
        except MapsrError as error:
            yield Finding("coarse", f"{path} can't be used", str(error))
            continue
        shares.append(share)
        if share > 0:
            reached.append((info, path))
    if not shares:
        return
    yield _overlap(shares, *pairs[0])
    if reached:
        yield from _codes(reached, legends.coarse, settings)


def _product(path: Path, image: ImageInfo) -> Iterator[Finding]:
    """What the file of a product is."""
    info = image_info(path)
    grid = info.grid
    high, wide = grid.pixel_size
    unit = "degrees" if grid.crs.is_geographic else grid.crs.linear_units
    unit = "m" if unit == "metre" else unit
    yield Finding(
        "coarse",
        f"{path}: {grid.height} x {grid.width} px, {crs_name(grid.crs)}, pixels of "
        + (f"{high:.4g} {unit}" if high == wide else f"{high:.4g} x {wide:.4g} {unit}"),
    )
    if info.bands > 1:
        text = f"it has {info.bands} bands, of which the first is read: "
        yield Finding("coarse", f"{text}a picture does not hold codes")
    if "int" not in info.dtype:
        yield Finding("coarse", f"it holds {info.dtype} values: codes are whole numbers")
    try:
        place = center_deg(image.grid, image.path)
        fine, rough = (ground_size_m(one.grid, one.path, place)[0] for one in (image, info))
    except MapsrError as error:  # a system without a place on Earth, which map takes
        yield Finding("factor", f"the sizes of pixels on the ground can't be told: {error}")
        return
    text = f"its pixels are about {rough:.3g} m on the ground, {rough / fine:.3g} x the image's"
    if rough < 1.5 * fine:
        text += ": it is not coarser than the image"
    yield Finding("factor", text)


def _overlap(shares: Sequence[float], image: ImageInfo, path: Path) -> Finding:
    """How much of the images a product covers."""
    if len(shares) == 1:
        text = f"the product covers {percent(shares[0])} of the image"
        if 0 < shares[0] < 1:
            text += "; methods are fitted there, and the whole image is mapped"
    else:
        whole = sum(share >= 1 for share in shares)
        none = sum(share == 0 for share in shares)
        text = (
            f"the product covers {whole} of {len(shares)} images, {len(shares) - whole - none} in "
            f"part, and {none} not; methods are fitted where it is, and all are mapped"
        )
    if any(shares):
        return Finding("overlap", text)
    try:
        places = (_extent(bounds_deg(info.grid, info.path)) for info in (image, image_info(path)))
        where = "the image is at {}, the product at {}".format(*places)
    except MapsrError as error:
        where = str(error)
    remedy = (
        f"{where}: give the product of the image's area, or fix the reference system of the one "
        "that is elsewhere (gdal_edit.py -a_srs EPSG:CODE)"
    )
    return Finding("overlap", text, remedy)


def _extent(bounds: tuple[float, float, float, float]) -> str:
    west, south, east, north = bounds
    return f"longitude {west:.4f} to {east:.4f}, latitude {south:.4f} to {north:.4f}"


def _codes(
    pairs: Sequence[tuple[ImageInfo, Path]], crosswalk: Crosswalk, settings: LegendSettings
) -> Iterator[Finding]:
    """What codes lie under the images, and what becomes of them."""
    counts: Counter[int] = Counter()
    chosen = evenly(pairs, COUNTED)
    for info, path in chosen:
        try:
            counts.update(count_codes(path, info.grid))
        except MapsrError as error:
            yield Finding("codes", f"{path} can't be read", str(error))
    if not counts:
        return
    legend, target = crosswalk.source, crosswalk.target
    text = f"as legend.coarse={settings.coarse}, legend.crosswalk={settings.crosswalk}"
    if len(pairs) > len(chosen):
        text += f", under {len(chosen)} of {len(pairs)} images"
    yield Finding("codes", text)
    rows = code_table(crosswalk, counts)
    for row in rows:
        code = "masked or beyond" if row.code == MASKED else str(row.code)
        becomes = row.target or "left out"
        yield Finding("code", f"{code}: {row.name} -> {becomes}, {percent(row.share)}")
    unknown = list(_unknown(legend, counts, settings, target))
    yield from unknown
    if any(finding.remedy for finding in unknown):
        return  # the classes would be those of a wrong legend
    found = {row.target for row in rows if row.target}
    absent = [name for name in target.names if name not in found]
    if len(found) < 2:
        text = f"the codes stand for {len(found)} class(es) of the map: nothing to tell apart"
        yield Finding("classes", text, "give the product of a larger area, or its own legend")
    elif absent:
        text = f"no pixel stands for {', '.join(absent)}: no prompt, so the map will not show it"
        yield Finding("classes", text)


def _unknown(
    legend: Legend, counts: Mapping[int, int], settings: LegendSettings, target: Legend
) -> Iterator[Finding]:
    """Codes that the legend does not name, and legends that do."""
    share, codes = unknown_codes(legend, counts)
    if not codes:
        return
    listed = ", ".join(map(str, codes[:8])) + (", ..." if len(codes) > 8 else "")
    text = f"{percent(share)} of the pixels with a code have one that {legend.name} has not: "
    if share <= MOST_UNKNOWN:
        yield Finding("codes", f"{text}{listed}; they are left out")
        return
    fit = [name for name in _fitting(counts, settings, target) if name != settings.coarse]
    choices = " or ".join(f"legend.coarse={name}" for name in fit[:_OFFERED])
    remedy = (
        f"the codes fit {choices}"
        if fit
        else "no legend of the package has these codes: write its legend as a YAML file, and give "
        "legend.coarse=FILE.yaml"
    )
    yield Finding("codes", text + listed, remedy)


def _fitting(counts: Mapping[int, int], settings: LegendSettings, target: Legend) -> list[str]:
    """Legends of the package that name the codes, those with the fewest idle classes first."""
    found = []
    for name in legend_names():
        if name == settings.target:
            continue
        legend = load_legend(name)
        try:
            load_crosswalk(settings.crosswalk, legend, target, complete=True)
        except LegendError:
            continue  # it can't give all classes of this map
        idle = len(set(legend.codes) - set(counts))
        if unknown_codes(legend, counts)[0] <= MOST_UNKNOWN and idle < len(legend):
            found.append((idle, name))
    return [name for _, name in sorted(found)]
