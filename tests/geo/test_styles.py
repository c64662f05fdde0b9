from pathlib import Path
from xml.etree import ElementTree

from mapsr.geo.styles import (
    Ramp,
    write_attribute_table,
    write_qgis_ramp,
    write_qgis_style,
)
from mapsr.legends import LandClass, Legend

LEGEND = Legend(
    "toy",
    "Toy",
    "invented",
    (LandClass(7, "sea & lake", (1, 2, 3)), LandClass(3, "<wood>", (0, 128, 255))),
)


def test_attribute_table(tmp_path: Path):
    path = write_attribute_table(tmp_path / "map.tif", LEGEND)
    assert path.name == "map.tif.aux.xml"
    root = ElementTree.fromstring(path.read_text())
    assert root.tag == "PAMDataset"
    assert [item.text for item in root.iter("Category")] == ["sea & lake", "<wood>"]
    rows = [[cell.text for cell in row.iter("F")] for row in root.iter("Row")]
    assert rows == [["0", "sea & lake", "1", "2", "3"], ["1", "<wood>", "0", "128", "255"]]
    # GDAL's numbers: integer 0, string 2; value 5, name 2, red 6, green 7, blue 8
    columns = [(c.findtext("Type"), c.findtext("Usage")) for c in root.iter("FieldDefn")]
    assert columns == [("0", "5"), ("2", "2"), ("0", "6"), ("0", "7"), ("0", "8")]


def test_qgis_style(tmp_path: Path):
    path = write_qgis_style(tmp_path / "map.tif", LEGEND)
    assert path.name == "map.qml"
    root = ElementTree.fromstring(path.read_text())
    renderer = root.find("pipe/rasterrenderer")
    assert renderer is not None
    assert (renderer.get("type"), renderer.get("band")) == ("paletted", "1")
    entries = [(e.get("value"), e.get("label"), e.get("color")) for e in root.iter("paletteEntry")]
    assert entries == [("0", "sea & lake", "#010203"), ("1", "<wood>", "#0080ff")]


def test_a_ramp_for_numbers(tmp_path: Path):
    path = write_qgis_ramp(tmp_path / "sure.tif", Ramp(((0, 1, 2, 255), (9, 9, 9, 0))), 0.25, 1.5)
    assert path.name == "sure.qml"
    renderer = ElementTree.fromstring(path.read_text()).find("pipe/rasterrenderer")
    assert renderer is not None
    assert renderer.get("type") == "singlebandpseudocolor"
    assert (renderer.get("classificationMin"), renderer.get("classificationMax")) == ("0.25", "1.5")
    items = [(e.get("value"), e.get("color"), e.get("alpha")) for e in renderer.iter("item")]
    assert items == [("0.25", "#000102", "255"), ("1.5", "#090909", "0")]
    three = write_qgis_ramp(tmp_path / "sure.tif", Ramp(((0, 0, 0, 255),) * 3), 0.0, 1.0)
    values = [e.get("value") for e in ElementTree.fromstring(three.read_text()).iter("item")]
    assert values == ["0", "0.5", "1"]
