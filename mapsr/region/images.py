"""Which images a map job takes: a raster, a pattern, or a CSV list."""

import glob
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mapsr.data import Scene, read_table
from mapsr.errors import ConfigError, DataError, MapsrError, RasterError, said_by_system
from mapsr.geo import ImageInfo, image_info, is_side_file_name
from mapsr.mapping.jobs import is_map
from mapsr.paths import is_there, local_path, true_path


@dataclass(frozen=True)
class Image:
    """An image to be mapped.

    Attributes:
        path: the file.
        coarse: its own coarse product, where a list names one.
        info: what the file says; None where it can't be read.
        error: why it can't be read.
    """

    path: Path
    coarse: Path | None
    info: ImageInfo | None
    error: MapsrError | None

    @property
    def scene(self) -> Scene:
        """The image as a scene to fit on; called by its path, as two folders may hold one name."""
        return Scene(str(self.path), self.path, self.coarse, None)


@dataclass(frozen=True)
class Images:
    """The images of a job.

    Attributes:
        every: in a fixed order.
        single: one raster was named, rather than a pattern or a list.
    """

    every: tuple[Image, ...]
    single: bool


def find_images(text: str, coarse: str | None, out: str | None = None) -> Images:
    """Find images and look at each; one that can't be read keeps its reason.

    Args:
        text: path of a raster (a VRT is one), a pattern with ``*``, ``?`` or ``[``, in which
            ``**`` stands for any folders, or a CSV file with a column image_fn and, where each
            image has its own coarse product, label_fn.
        coarse: product of all images that have none of their own; path of one raster.
        out: where maps go: those that are there already are not images, though a pattern matches.

    Raises:
        DataError: nothing matches, the list is malformed, or it names an image twice.
        ConfigError: a path lies on the network, or is none.
    """
    path = local_path(text, "image", DataError)
    product = _product(coarse) if coarse else None
    if path.suffix.lower() == ".csv":
        found = [(scene.image, scene.coarse or product) for scene in read_table(path)]
    elif is_there(path) or not glob.has_magic(text):
        found = [(path, product)]
    else:
        maps = _maps_in(local_path(out, "out")) if out else set()
        matches = [match for match in _matches(path) if true_path(match) not in maps]
        found = [(match, product) for match in matches]
        if not found:
            raise DataError(f"No file matches image={text}, expected at least one; check it.")
    twice, times = Counter(true_path(path) for path, _ in found).most_common(1)[0]
    if times > 1:
        raise DataError(f"{text} names {twice} {times} times, expected it once.")
    return Images(tuple(_seen(*one) for one in found), single=found[0][0] == path)


def _product(text: str) -> Path:
    path = local_path(text, "coarse")
    if glob.has_magic(text) and not is_there(path):
        raise ConfigError(
            f"coarse={text} is a pattern, expected one raster: several files of a product become "
            f"one with gdalbuildvrt product.vrt {text}, or stand in a CSV list (image=LIST.csv "
            "with columns image_fn and label_fn)."
        )
    return path


def _matches(path: Path) -> list[Path]:
    """The files that a pattern matches, without those that lie beside images or are temporary."""
    anchor = path.anchor or "."
    try:
        found = sorted(Path(anchor).glob(str(path.relative_to(anchor))))
    except (OSError, ValueError) as error:
        raise DataError(f"Can't look for image={path}: {error}; check the pattern.") from error
    fixed = sum(1 for _ in itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
    return [match for match in found if _is_image(match, match.parts[fixed:])]


def _is_image(path: Path, matched: Sequence[str]) -> bool:
    """Whether a match of a pattern is more than a side file, a temporary or a hidden one."""
    hidden = any(part.startswith(".") for part in matched)
    return not hidden and path.is_file() and not is_side_file_name(path.name)


def _maps_in(out: Path) -> set[Path]:
    """The maps that were written where those of this job go, and what lies beside them."""
    folder = out if out.is_dir() else out.parent
    rasters = (path for end in ("tif", "tiff") for path in folder.glob(f"*.{end}"))
    return {true_path(path) for path in rasters if is_map(path)}


def _seen(path: Path, coarse: Path | None) -> Image:
    try:
        return Image(path, coarse, image_info(path), None)
    except RasterError as error:
        return Image(path, coarse, None, error)
    except OSError as error:
        return Image(path, coarse, None, RasterError(said_by_system(error)))
