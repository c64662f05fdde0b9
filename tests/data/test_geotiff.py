from pathlib import Path

import pytest

from mapsr.data.geotiff import GeoTiffSettings, find_scenes
from mapsr.errors import ConfigError, DataError
from mapsr.settings import settings_class

PATTERNS = {
    "image": "*/{scene}_naip.tif",
    "coarse": "*/{scene}_nlcd_30m.tif",
    "truth": "*/{scene}_cclc.tif",
}


def touch(root: Path, *names: str) -> None:
    """Make empty files: finding scenes opens none."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def settings(root: Path, **changes) -> GeoTiffSettings:
    return GeoTiffSettings(root=str(root), **(PATTERNS | changes))


def table(root: Path, text: str, **changes) -> GeoTiffSettings:
    (root / "lists").mkdir(exist_ok=True)
    (root / "lists" / "scenes.csv").write_text(text, encoding="utf-8")
    return GeoTiffSettings(root=str(root), table="lists/scenes.csv", **changes)


def test_settings_are_registered():
    assert settings_class("data", "geotiff") is GeoTiffSettings


def test_patterns_find_all_layers(scene_folder: Path):
    scenes = find_scenes(settings(scene_folder, fit="train/*", score="val/*"))
    assert [scene.name for scene in scenes.fit] == ["field", "wood"]
    (village,) = scenes.score
    assert village.name == "village"
    assert village.image == scene_folder / "val" / "village_naip.tif"
    assert village.coarse == scene_folder / "val" / "village_nlcd_30m.tif"
    assert village.truth == scene_folder / "val" / "village_cclc.tif"


def test_without_selection_all_scenes_serve_both(scene_folder: Path):
    scenes = find_scenes(settings(scene_folder, coarse=None, truth=None))
    assert scenes.fit == scenes.score
    assert len(scenes.fit) == 3
    assert {(scene.coarse, scene.truth) for scene in scenes.fit} == {(None, None)}


def test_scene_may_name_a_folder_below_any_folders(tmp_path: Path):
    touch(tmp_path, "a/b/oak/image.tif", "elm/image.tif", "a/b/oak/other.tif")
    scenes = find_scenes(GeoTiffSettings(root=str(tmp_path), image="**/{scene}/image.tif"))
    assert [scene.name for scene in scenes.fit] == ["oak", "elm"]


def test_special_characters_are_taken_as_they_are(tmp_path: Path):
    touch(tmp_path, "a[1]+_rgb.tif", "a1_nlcd.tif", "a[1]+_nlcd.tif")
    made = GeoTiffSettings(root=str(tmp_path), image="{scene}_rgb.tif", coarse="{scene}_nlcd.tif")
    (scene,) = find_scenes(made).fit
    assert scene.name == "a[1]+"
    assert scene.coarse == tmp_path / "a[1]+_nlcd.tif"


def test_table(tmp_path: Path):
    text = "group,image_fn,label_fn,truth_fn\n1,../b.tif,c/b_30m.tif,\n2,/far/a.tif,,t.tif\n"
    made = table(tmp_path, text)
    a, b = find_scenes(made).fit
    lists = tmp_path / "lists"
    assert (a.name, a.image, a.coarse, a.truth) == ("a", Path("/far/a.tif"), None, lists / "t.tif")
    assert (b.name, b.image, b.truth) == ("b", lists / "../b.tif", None)
    assert b.coarse == lists / "c/b_30m.tif"


def test_table_without_truth_column_and_selection_by_path(tmp_path: Path):
    text = "\ufeffimage_fn,label_fn\nnorth/b.tif,b_30m.tif\nsouth/a.tif,\n"
    made = table(tmp_path, text, fit="lists/north/*", score="*/a.tif")
    scenes = find_scenes(made)
    assert [scene.name for scene in scenes.fit] == ["b"]
    assert [scene.name for scene in scenes.score] == ["a"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": None}, r"Set data\.image or data\.table: neither is set"),
        ({"table": "a.csv"}, r"Set data\.image or data\.table: both are set"),
        ({"image": None, "table": "a.csv"}, r"data\.coarse and data\.table are both set"),
        ({"image": "*/naip.tif"}, r"data\.image is '\*/naip\.tif', expected a pattern .*once"),
        ({"coarse": "{scene}/{scene}.tif"}, r"data\.coarse is .*holds \{scene\} exactly once"),
        ({"truth": "/{scene}.tif"}, r"data\.truth is '/\{scene\}\.tif', .*relative to data\.root"),
        ({"scale": 0.0}, r"data\.scale is 0\.0, expected a number in \(0, inf\]"),
        ({"bands": 0}, r"data\.bands is 0, expected a number in \[1, inf\]"),
    ],
)
def test_contradictory_settings_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
):
    with pytest.raises(ConfigError, match=message):
        settings(tmp_path, **changes)


def test_missing_root_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"data\.root is '.*absent', expected a folder that exists"):
        find_scenes(settings(tmp_path / "absent"))


def test_no_image_is_refused(tmp_path: Path):
    touch(tmp_path, "train/a_rgb.tif", "a_naip.tif")
    with pytest.raises(DataError, match=r"No image in .* matches data\.image '\*/\{scene\}_naip"):
        find_scenes(settings(tmp_path))


def test_absent_layer_is_refused(tmp_path: Path):
    touch(tmp_path, "train/a_naip.tif", "train/a_nlcd_30m.tif")
    with pytest.raises(
        DataError, match=r"data\.truth '\*/\{scene\}_cclc\.tif' must match one .*'a'.*got none"
    ):
        find_scenes(settings(tmp_path))


def test_ambiguous_layer_is_refused(tmp_path: Path):
    touch(tmp_path, "train/a_naip.tif", "train/a_nlcd_30m.tif", "old/a_nlcd_30m.tif")
    with pytest.raises(
        DataError, match=r"data\.coarse .*got old/a_nlcd_30m\.tif, train/a_nlcd_30m\.tif"
    ):
        find_scenes(settings(tmp_path))


def test_equal_names_are_refused(tmp_path: Path):
    touch(tmp_path, "train/a_naip.tif", "val/a_naip.tif", "val/b_naip.tif")
    with pytest.raises(
        DataError, match=r"2 scenes are called 'a' \(.*train/a_naip\.tif, .*val/a_naip\.tif\)"
    ):
        find_scenes(settings(tmp_path, coarse=None, truth=None))


@pytest.mark.parametrize("key", ["fit", "score"])
def test_selection_of_nothing_is_refused(scene_folder: Path, key: str):
    with pytest.raises(
        DataError,
        match=rf"data\.{key} 'trian/\*' selects none of the 3 scenes.*'train/field_naip\.tif'",
    ):
        find_scenes(settings(scene_folder, **{key: "trian/*"}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image_fm,label_fn\na.tif,b.tif\n",
            "has the columns image_fm, label_fn, expected image_fn and",
        ),
        ("", r"has the columns \(none\), expected image_fn"),
        ("image_fn\n", "lists no scene, expected at least one row"),
        ("image_fn,label_fn\na.tif,\n ,b.tif\n", "has no image_fn in line 3"),
        ("image_fn\na/x.tif\nb/x.tif\n", "2 scenes are called 'x'"),
    ],
)
def test_faulty_table_is_refused(tmp_path: Path, text: str, message: str):
    made = table(tmp_path, text)
    with pytest.raises(DataError, match=message):
        find_scenes(made)


def test_table_that_is_no_text_is_refused(tmp_path: Path):
    made = table(tmp_path, "")
    (tmp_path / "lists" / "scenes.csv").write_bytes(b"II*\x00\xff\xfe\x80\n")
    with pytest.raises(DataError, match=r"scenes\.csv is not a CSV file in UTF-8"):
        find_scenes(made)


def test_missing_table_is_named(tmp_path: Path):
    made = GeoTiffSettings(root=str(tmp_path), table="absent.csv")
    with pytest.raises(DataError, match=r"There is no CSV file '.*absent\.csv'; check the path"):
        find_scenes(made)


@pytest.mark.parametrize(
    "header", ["image_fn, truth_fn", "Image_FN,Truth_fn", " image_fn ,TRUTH_FN"]
)
def test_a_header_with_a_space_or_capitals_meant_no_truth(tmp_path: Path, header: str):
    made = table(tmp_path, f"{header}\na.tif,t.tif\n")
    assert find_scenes(made).score[0].truth == tmp_path / "lists" / "t.tif"


@pytest.mark.parametrize(
    ("column", "meant"),
    [
        *(("truth", "truth_fn"), ("truths", "truth_fn"), ("trut_fn", "truth_fn")),
        *(("truth fn", "truth_fn"), ("ground_truth", "truth_fn"), ("truth_path", "truth_fn")),
        *(("label", "label_fn"), ("lable_fn", "label_fn"), ("label_2", "label_fn")),
        *(("image", "image_fn"), ("image_file", "image_fn"), ("label_fn_1", "label_fn")),
    ],
)
def test_a_column_that_looks_like_a_known_one_is_refused(tmp_path: Path, column: str, meant: str):
    made = table(tmp_path, f"image_fn,{column}\na.tif,t.tif\n")
    with pytest.raises(DataError, match=rf"has the column '{column}', .*Did you mean '{meant}'\?"):
        find_scenes(made)


def test_columns_that_are_nothing_like_ours_are_logged(tmp_path: Path, caplog):
    columns = "id,state,split,image_id,year,city,area_km2,sensor"
    made = table(tmp_path, f"image_fn,{columns},,\na.tif{',x' * 8},,\n")
    with caplog.at_level("INFO"):
        assert len(find_scenes(made).fit) == 1
    assert f"the columns {columns.replace(',', ', ')} are not read" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_fn,truth_fn,Truth_fn\na,b,c\n", "has the column truth_fn twice"),
        ("image_fn,truth_fn\na,b\nc,d, e\n", "has 3 cells in line 3, expected 2"),
        ("image_fn\na\nb\0.tif\n", "holds a NUL character in line 3"),
        ('image_fn\n"a\n', "is not a CSV file: unexpected end of data"),
    ],
)
def test_a_table_that_would_be_misread_is_refused(tmp_path: Path, text: str, message: str):
    made = table(tmp_path, text)
    with pytest.raises(DataError, match=message):
        find_scenes(made)


@pytest.mark.parametrize("name", ["long" * 100, "nul\0.csv", "."])
def test_a_table_of_no_possible_path_gave_a_trace(tmp_path: Path, name: str):
    made = GeoTiffSettings(root=str(tmp_path), table=name)
    with pytest.raises(DataError, match=r"There is no CSV file|Can't read '.*': (File name|Is a)"):
        find_scenes(made)


def test_side_files_of_macos_and_gdal_were_images(tmp_path: Path):
    touch(tmp_path, "t/a_naip.tif", "t/._a_naip.tif", "t/a_naip.tif.aux.xml", "t/a_naip.tif.ovr")
    for image in ("t/{scene}_naip*", "**/{scene}_naip*"):
        scenes = find_scenes(settings(tmp_path, image=image, coarse="*/{scene}_n*", truth=None))
        assert [scene.image.name for scene in scenes.fit] == ["a_naip.tif"]
        assert scenes.fit[0].coarse == tmp_path / "t" / "a_naip.tif"


@pytest.mark.shared
def test_real_imagery_is_found(shared: Path):
    made = settings(shared / "data" / "chesapeake_wv", fit="train/*", score="val/*")
    scenes = find_scenes(made)
    assert (len(scenes.fit), len(scenes.score)) == (8, 8)
    assert all(scene.coarse and scene.truth for scene in scenes.fit + scenes.score)


@pytest.mark.parametrize("root", ["long" * 100, "nul\0"])
def test_a_root_that_no_folder_can_be_gave_a_trace(root: str):
    with pytest.raises(DataError, match=r"data\.root is '.*', expected a folder that exists"):
        find_scenes(GeoTiffSettings(root=root, image="{scene}.tif"))
