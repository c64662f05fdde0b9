"""Which images a map job takes: a raster, a pattern, or a CSV list."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mapsr.data import Scene, read_table
from mapsr.errors import ConfigError, DataError, MapsrError, RasterError, said_by_system
from mapsr.geo import ImageInfo, image_info
from mapsr.geo.addresses import raster_path
from mapsr.geo.patterns import files_of, is_pattern
from mapsr.geo.stac import is_stac, one_raster, stac_rasters
from mapsr.geo.stac_items import Span
from mapsr.geo.vsi import forget
from mapsr.mapping.jobs import is_map
from mapsr.paths import local_path, true_path
from mapsr.remote import RemotePath


@dataclass(frozen=True)
class Image:
    """An image to be mapped.

    Attributes:
        path: the file.
        coarse: its own coarse product, where a list names one.
        info: what the file says; None where it can't be read.
        error: why it can't be read.
        item: of STAC that names it; None: nothing does.
        taken: from when to when it was taken, as the item says; None: it does not.
    """

    path: Path
    coarse: Path | None
    info: ImageInfo | None
    error: MapsrError | None
    item: str | None = None
    taken: Span | None = None

    @property
    def name(self) -> str:
        """What its map is called after, where there are several."""
        return self.item or self.path.stem

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


def find_images(
    text: str,
    coarse: str | None,
    out: str | None = None,
    *,
    image_asset: str | None = None,
    coarse_asset: str | None = None,
) -> Images:
    """Find images and look at each; one that can't be read keeps its reason.

    Args:
        text: path or address of a raster (a VRT is one), a pattern with ``*``, ``?`` or ``[``, in
            which ``**`` stands for any folders, a STAC item, collection or catalogue, or a CSV file
            with a column image_fn and, where each image has its own coarse product, label_fn.
        coarse: product of all images that have none of their own; path or address of one raster,
            or a STAC item.
        out: where maps go: those that are there already are not images, though a pattern matches.
        image_asset: asset of the items that is the image; None: their only raster.
        coarse_asset: asset of the item that is the product; None: its only raster.

    Raises:
        DataError: nothing matches, the list is malformed, it names an image twice, or the network
            is not to be used.
        ConfigError: a path is none.
    """
    path = raster_path(text, "image", DataError)
    product = _product(coarse, coarse_asset) if coarse else None
    if is_stac(text):
        rasters = stac_rasters(text, "image", image_asset, DataError)
        seen = ((_seen(one.path, product), one) for one in rasters.every)
        every = tuple(replace(image, item=one.name, taken=one.taken) for image, one in seen)
        _require_once([(one.path, product) for one in every], text)
        return Images(every, single=rasters.single)
    if image_asset:
        raise ConfigError(
            f"image_asset={image_asset} chooses an asset of a STAC item, and image={text} is none: "
            "leave it out, or name the .json of the item."
        )
    if path.suffix.lower() == ".csv" and not isinstance(path, RemotePath):
        found = [(scene.image, scene.coarse or product) for scene in read_table(path)]
    elif not is_pattern(text):
        found = [(path, product)]
    else:
        maps = _maps_in(local_path(out, "out")) if out else set()
        matches = [match for match in files_of(text, "image") if true_path(match) not in maps]
        found = [(match, product) for match in matches]
        if not found:
            raise DataError(f"image={text} matches maps alone that are made, expected images.")
    _require_once(found, text)
    return Images(tuple(_seen(*one) for one in found), single=found[0][0] == path)


def _require_once(found: Sequence[tuple[Path, Path | None]], text: str) -> None:
    twice, times = Counter(true_path(path) for path, _ in found).most_common(1)[0]
    if times > 1:
        raise DataError(f"{text} names {twice} {times} times, expected it once.")


def _product(text: str, asset: str | None) -> Path:
    path = one_raster(text, "coarse", asset)
    if asset and not is_stac(text):
        raise ConfigError(
            f"coarse_asset={asset} chooses an asset of a STAC item, and coarse={text} is none: "
            "leave it out, or name the .json of the item."
        )
    if is_pattern(text):
        raise ConfigError(
            f"coarse={text} is a pattern, expected one raster: several files of a product become "
            f"one with gdalbuildvrt product.vrt {text}, or stand in a CSV list (image=LIST.csv "
            "with columns image_fn and label_fn)."
        )
    return path


def _maps_in(out: Path) -> set[Path]:
    """The maps that were written where those of this job go, and what lies beside them."""
    folder = out if out.is_dir() else out.parent
    rasters = (path for end in ("tif", "tiff") for path in folder.glob(f"*.{end}"))
    return {true_path(path) for path in rasters if is_map(path)}


def _seen(path: Path, coarse: Path | None) -> Image:
    for one in (path, coarse):
        if isinstance(one, RemotePath):  # an earlier job of this process may have read it
            forget(one)
    try:
        return Image(path, coarse, image_info(path), None)
    except RasterError as error:
        return Image(path, coarse, None, error)
    except OSError as error:
        return Image(path, coarse, None, RasterError(said_by_system(error)))
