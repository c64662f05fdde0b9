"""Scenes from GeoTIFFs: found by patterns of file names, or listed in a CSV table."""

import glob
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from mapsr.data.scene_table import read_table
from mapsr.data.scenes import Scene, Scenes
from mapsr.errors import ConfigError, DataError, require_range
from mapsr.geo import is_side_file_name
from mapsr.settings import aside, choice

__all__ = ["GeoTiffSettings", "find_scenes", "read_table"]

_SCENE = "{scene}"


@choice("data", "geotiff")
@dataclass(frozen=True)
class GeoTiffSettings:
    """Scenes that lie as GeoTIFFs in a folder.

    Raises:
        ConfigError: both or neither of ``image`` and ``table`` are set; ``coarse`` or ``truth``
            comes with ``table``, or ``agree`` without; a pattern is absolute or does not hold
            ``{scene}`` exactly once; or a number is out of range.
    """

    root: str = aside("???")
    """Folder of the data set."""
    image: str | None = None
    """Pattern of the images relative to root, for example ``*/{scene}_image.tif``; ``{scene}``
    stands for the scene's name, ``*`` for any text and ``**`` for any folders."""
    coarse: str | None = None
    """Pattern of the coarse products; null: there are none."""
    truth: str | None = None
    """Pattern of the truth; null: there is none."""
    table: str | None = None
    """CSV file relative to root that lists the scenes instead of patterns: columns image_fn,
    label_fn (coarse product) and truth_fn, in capitals or not, paths relative to the file's folder;
    all but image_fn may be empty or absent. A scene is called as its image without the suffix."""
    agree: tuple[str, ...] = ()
    """Legends of further coarse products, which the table lists in columns label_fn_2, label_fn_3
    and so on. A pixel keeps its coarse label only where all products stand for the same class of
    the map; label_fn holds the product whose legend is legend.coarse."""
    fit: str | None = None
    """Pattern of the images, as paths relative to root, to fit on, for example ``train/*``; here
    ``*`` matches folders too; null: all."""
    score: str | None = None
    """Pattern of the images to map and score; null: all."""
    scale: float = 255.0
    """Raw value that becomes 1: 255 for images of bytes, 10000 for Sentinel-2 reflectance."""
    bands: int | None = None
    """How many leading bands to read; null: all. A last band that is marked as alpha is read as
    image (near infrared often is) unless it is left out here, which makes it a mask."""

    def __post_init__(self) -> None:
        if (self.image is None) == (self.table is None):
            got = "neither is" if self.image is None else "both are"
            raise ConfigError(f"Set data.image or data.table: {got} set, expected one of them.")
        for key in ("image", "coarse", "truth"):
            pattern = getattr(self, key)
            if pattern is None:
                continue
            if self.table is not None:
                raise ConfigError(
                    f"data.{key} and data.table are both set, but the table names the files; "
                    f"remove data.{key}."
                )
            if pattern.count(_SCENE) != 1 or PurePosixPath(pattern).is_absolute():
                raise ConfigError(
                    f"data.{key} is '{pattern}', expected a pattern relative to data.root that "
                    f"holds {_SCENE} exactly once, for example */{_SCENE}_{key}.tif."
                )
        object.__setattr__(self, "agree", tuple(self.agree))
        if self.agree and self.table is None:
            raise ConfigError(
                f"data.agree is [{', '.join(self.agree)}] without data.table, expected a table "
                "whose columns label_fn_2 and so on hold these products; set data.table."
            )
        require_range(self.scale, "data.scale", open_low=True)
        if self.bands is not None:
            require_range(self.bands, "data.bands", low=1)

    def find(self, folder: Path | None = None) -> Scenes:
        """Find the scenes; see ``find_scenes``."""
        return find_scenes(self)


def find_scenes(settings: GeoTiffSettings) -> Scenes:
    """Find the scenes of a data set, sorted by the path of their image.

    Raises:
        DataError: root is not a folder; no image is found; a scene has no or several files for a
            pattern; two scenes have the same name; the table is missing or malformed; or ``fit``
            or ``score`` selects no scene.
    """
    root = Path(settings.root)
    if not _is_folder(root):
        raise DataError(
            f"data.root is '{settings.root[:200]}', expected a folder that exists; check the path."
        )
    if settings.table is None:
        scenes = _matched(root, settings)
    else:
        scenes = read_table(root / settings.table, 1 + len(settings.agree))
    scenes.sort(key=lambda scene: scene.image)
    _require_unique(scenes)
    return Scenes(
        fit=_selected(scenes, root, "fit", settings.fit),
        score=_selected(scenes, root, "score", settings.score),
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a path that no folder can have
        return False


def _matched(root: Path, settings: GeoTiffSettings) -> list[Scene]:
    """Return the scenes whose images match the pattern."""
    pattern = str(settings.image)
    expression = _expression(pattern)
    names = {
        path: match["scene"]
        for path in _files(root, pattern.replace(_SCENE, "*"))
        if (match := expression.fullmatch(path.relative_to(root).as_posix()))
    }
    if not names:
        raise DataError(
            f"No image in {root} matches data.image '{pattern}', expected at least one; "
            "check data.root and the pattern."
        )
    return [
        Scene(
            name,
            path,
            _layer(root, "coarse", settings.coarse, name),
            _layer(root, "truth", settings.truth, name),
        )
        for path, name in names.items()
    ]


def _files(root: Path, pattern: str) -> list[Path]:
    """Return the files that match a glob pattern, without those that lie beside rasters."""
    try:
        found = sorted(path for path in root.glob(pattern) if path.is_file())
    except (OSError, ValueError) as error:
        raise DataError(f"Can't look for '{pattern}' in {root}: {error}; check both.") from error
    return [path for path in found if not is_side_file_name(path.name)]


def _expression(pattern: str) -> re.Pattern[str]:
    """Translate a pattern to a regular expression with the group ``scene``."""
    parts = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]", _SCENE: "(?P<scene>[^/]+)"}
    tokens = re.split(r"(\*\*/|\*|\?|\{scene\})", pattern)
    return re.compile("".join(parts.get(token) or re.escape(token) for token in tokens))


def _layer(root: Path, key: str, pattern: str | None, scene: str) -> Path | None:
    """Return the one file of a scene that matches the pattern of a layer."""
    if pattern is None:
        return None
    wanted = pattern.replace(_SCENE, glob.escape(scene))
    found = _files(root, wanted)
    if len(found) != 1:
        got = ", ".join(str(path.relative_to(root)) for path in found) or "none"
        raise DataError(
            f"data.{key} '{pattern}' must match one file for scene '{scene}' in {root}, "
            f"got {got}; correct the pattern or the folder."
        )
    return found[0]


def _require_unique(scenes: Sequence[Scene]) -> None:
    """Raise DataError where two scenes have the same name."""
    name, times = Counter(scene.name for scene in scenes).most_common(1)[0]
    if times > 1:
        images = ", ".join(str(scene.image) for scene in scenes if scene.name == name)
        raise DataError(
            f"{times} scenes are called '{name}' ({images}), expected each name once; rename the "
            "files, or put the part that differs into {scene}."
        )


def _selected(
    scenes: Sequence[Scene], root: Path, key: str, pattern: str | None
) -> tuple[Scene, ...]:
    """Return the scenes whose image, as a path relative to root, matches."""
    paths = [_relative(scene.image, root) for scene in scenes]
    chosen = tuple(
        scene
        for scene, path in zip(scenes, paths, strict=True)
        if pattern is None or fnmatchcase(path, pattern)
    )
    if not chosen:
        raise DataError(
            f"data.{key} '{pattern}' selects none of the {len(scenes)} scenes, expected a pattern "
            f"that matches paths such as '{paths[0]}'."
        )
    return chosen


def _relative(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
