"""Files that a path or a pattern names."""

import pytest

from mapsr.errors import ConfigError, DataError
from mapsr.geo.patterns import files_of, is_pattern
from mapsr.labelling.registry import _files


@pytest.fixture
def folder(tmp_path):
    for name in ("b.tif", "a.tif", "._a.tif", ".c.tif", "a.tif.aux.xml", "b.tif.ovr", "x[1].tif"):
        (tmp_path / name).touch()
    (tmp_path / "deep" / ".hidden").mkdir(parents=True)
    for path in ("deep/d.tif", "deep/.hidden/e.tif"):
        (tmp_path / path).touch()
    (tmp_path / "g.tif").mkdir()
    return tmp_path


def test_a_pattern_is_the_images_that_it_meets(folder):
    every = [folder / name for name in ("a.tif", "b.tif", "x[1].tif")]
    assert files_of(f"{folder}/*.tif", "image") == every
    assert files_of("*.tif*", "image", folder=folder) == every
    deep = [folder / "a.tif", folder / "b.tif", folder / "deep/d.tif", folder / "x[1].tif"]
    assert files_of(f"{folder}/**/*.tif", "image") == deep


def test_what_is_there_is_itself_whatever_its_name(folder):
    assert not is_pattern(f"{folder}/x[1].tif") and is_pattern(f"{folder}/x[2].tif")
    assert files_of(f"{folder}/x[1].tif", "image") == [folder / "x[1].tif"]
    assert files_of("nowhere.tif", "image", folder=folder) == [folder / "nowhere.tif"]


def test_the_home_folder_is_the_users(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert files_of("~/a.tif", "truth") == [folder / "a.tif"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none*.tif", r"No file matches truth=none\*.tif, expected at least one"),
        ("", "truth is empty"),
        ("file://example.org/*.tif", "expected a path of this machine, or https://"),
    ],
)
def test_what_meets_nothing_is_said_by_its_key(folder, text, message):
    for error in (DataError, ConfigError):
        with pytest.raises(error, match=message):
            files_of(text, "truth", error, folder)


def test_side_files_were_products_of_a_registry(folder):
    class Section:
        where = "products.one"

        def texts(self, key):
            return ("*.tif*",)

    assert [path.name for path in _files(Section(), folder)] == ["a.tif", "b.tif", "x[1].tif"]
