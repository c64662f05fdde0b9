"""Side files of a label map: its class names and colours for GDAL and for QGIS."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from mapsr.files import write_text
from mapsr.legends import Legend

# numbers that GDAL gives to the type and the usage of a column (gdal.h: GDALRATFieldType,
# GDALRATFieldUsage)
_MARK = "written by mapsr"
"""Comment by which a side file of ours is told from a user's."""
_INTEGER, _STRING = 0, 2
_COLUMNS = (
    ("Value", _INTEGER, 5),
    ("Class", _STRING, 2),
    ("Red", _INTEGER, 6),
    ("Green", _INTEGER, 7),
    ("Blue", _INTEGER, 8),
)


def write_attribute_table(path: Path, legend: Legend) -> Path:
    """Write class names and colours beside a label map as GDAL's ``PATH.aux.xml``.

    Args:
        path: the label map.
        legend: its classes; a pixel holds the index of a class.

    Returns:
        The path of the side file.
    """
    dataset = ElementTree.Element("PAMDataset")
    dataset.append(ElementTree.Comment(_MARK))
    band = ElementTree.SubElement(dataset, "PAMRasterBand", band="1")
    names = ElementTree.SubElement(band, "CategoryNames")
    for name in legend.names:
        ElementTree.SubElement(names, "Category").text = name
    table = ElementTree.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for number, (title, kind, usage) in enumerate(_COLUMNS):
        column = ElementTree.SubElement(table, "FieldDefn", index=str(number))
        ElementTree.SubElement(column, "Name").text = title
        ElementTree.SubElement(column, "Type").text = str(kind)
        ElementTree.SubElement(column, "Usage").text = str(usage)
    for index, land_class in enumerate(legend.classes):
        row = ElementTree.SubElement(table, "Row", index=str(index))
        for value in (index, land_class.name, *land_class.color):
            ElementTree.SubElement(row, "F").text = str(value)
    return _write(path.with_name(path.name + ".aux.xml"), dataset)


def write_qgis_style(path: Path, legend: Legend) -> Path:
    """Write a paletted style beside a label map as ``.qml``, which QGIS takes up by itself.

    Args:
        path: the label map.
        legend: its classes; a pixel holds the index of a class.

    Returns:
        The path of the style.
    """
    style = ElementTree.Element("qgis", styleCategories="Symbology")
    style.append(ElementTree.Comment(_MARK))
    pipe = ElementTree.SubElement(style, "pipe")
    renderer = ElementTree.SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1"
    )
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for index, land_class in enumerate(legend.classes):
        red, green, blue = land_class.color
        ElementTree.SubElement(
            palette,
            "paletteEntry",
            value=str(index),
            color=f"#{red:02x}{green:02x}{blue:02x}",
            label=land_class.name,
            alpha="255",
        )
    return _write(path.with_suffix(".qml"), style)


@dataclass(frozen=True)
class Ramp:
    """Colours of a raster of numbers, from the least value that matters to the greatest.

    Attributes:
        stops: red, green, blue and opacity, 0 to 255, evenly spaced; between them QGIS mixes.
    """

    stops: tuple[tuple[int, int, int, int], ...]


# dark where a map is not sure, in colours that are told apart without red and green
CONFIDENCE = Ramp(
    (
        (68, 1, 84, 255),
        (59, 82, 139, 255),
        (33, 145, 140, 255),
        (94, 201, 98, 255),
        (253, 231, 37, 255),
    )
)
# nothing where the product is right, so that the image shows through
ERROR = Ramp(((178, 24, 43, 0), (178, 24, 43, 255)))


def write_qgis_ramp(path: Path, ramp: Ramp, low: float, high: float) -> Path:
    """Write a style beside a raster of numbers as ``.qml``, which QGIS takes up by itself.

    Args:
        path: the raster, of which the first band is shown.
        ramp: its colours.
        low: value of the first stop.
        high: value of the last one.

    Returns:
        The path of the style.
    """
    style = ElementTree.Element("qgis", styleCategories="Symbology")
    style.append(ElementTree.Comment(_MARK))
    renderer = ElementTree.SubElement(
        ElementTree.SubElement(style, "pipe"),
        "rasterrenderer",
        {"type": "singlebandpseudocolor", "band": "1", "opacity": "1", "alphaBand": "-1"},
        classificationMin=f"{low:.6g}",
        classificationMax=f"{high:.6g}",
    )
    shader = ElementTree.SubElement(
        ElementTree.SubElement(renderer, "rastershader"),
        "colorrampshader",
        {"colorRampType": "INTERPOLATED", "classificationMode": "1", "clip": "0"},
        minimumValue=f"{low:.6g}",
        maximumValue=f"{high:.6g}",
    )
    for number, (red, green, blue, alpha) in enumerate(ramp.stops):
        value = low + (high - low) * number / (len(ramp.stops) - 1)
        ElementTree.SubElement(
            shader,
            "item",
            value=f"{value:.6g}",
            label=f"{value:.3g}",
            color=f"#{red:02x}{green:02x}{blue:02x}",
            alpha=str(alpha),
        )
    return _write(path.with_suffix(".qml"), style)


def is_ours(path: Path) -> bool:
    """Tell whether a side file was written here: it says so in a comment near its beginning.

    Args:
        path: the side file; anybody's where it can't be read.
    """
    try:
        with path.open("rb") as file:
            return f"<!--{_MARK}-->".encode() in file.read(1000)
    except OSError:
        return False


def _write(path: Path, root: ElementTree.Element) -> Path:
    ElementTree.indent(root)
    write_text(path, ElementTree.tostring(root, encoding="unicode") + "\n")
    return path
