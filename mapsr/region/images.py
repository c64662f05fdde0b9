"""Which images a map job takes: a raster, a pattern, or a CSV list."""

import glob
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mapsr.data import Scene, read_table
from mapsr.errors import DataError, MapsrError, RasterError
from mapsr.geo import ImageInfo, image_info, is_side_file_name


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


def find_images(text: str, coarse: Path | None) -> Images:
    """Find images and look at each; one that can't be read keeps its reason.

    Args:
        text: path of a raster (a VRT is one), a pattern with ``*``, ``?`` or ``[``, in which
            ``**`` stands for any folders, or a CSV file with a column image_fn and, where each
            image has its own coarse product, label_fn.
        coarse: product of all images that have none of their own.

    Raises:
        DataError: nothing matches, the list is malformed, or it names an image twice.
    """
    path = Path(text)
    if path.suffix.lower() == ".csv":
        found = [(scene.image, scene.coarse or coarse) for scene in read_table(path)]
    elif path.exists() or not glob.has_magic(text):
        found = [(path, coarse)]
    else:
        anchor = path.anchor or "."
        matches = sorted(Path(anchor).glob(str(path.relative_to(anchor))))
        found = [(match, coarse) for match in matches if _is_image(match)]
        if not found:
            raise DataError(f"No file matches image={text}, expected at least one; check it.")
    twice, times = Counter(path.resolve() for path, _ in found).most_common(1)[0]
    if times > 1:
        raise DataError(f"{text} names {twice} {times} times, expected it once.")
    return Images(tuple(_seen(*one) for one in found), single=found[0][0] == path)


def _is_image(path: Path) -> bool:
    """Whether a match of a pattern is more than a file that lies beside an image."""
    return path.is_file() and not is_side_file_name(path.name)


def _seen(path: Path, coarse: Path | None) -> Image:
    try:
        return Image(path, coarse, image_info(path), None)
    except RasterError as error:
        return Image(path, coarse, None, error)
