"""A fitted method in Python: load it or fit it, map images, score arrays."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mapsr.api.rasters import ImageLike, as_path, as_raster
from mapsr.cli.compose import compose_map
from mapsr.errors import RasterError
from mapsr.geo import read_values
from mapsr.methods.fitted import SUFFIX, FittedMethod, find_fitted, load_fitted
from mapsr.progress import Progress, Quiet
from mapsr.region import find_images, map_region
from mapsr.region.checks import usable
from mapsr.region.fit import fit_region


@dataclass(frozen=True)
class Fitted:
    """A fitted method.

    Attributes:
        path: its file.
        method: what stands there.
    """

    path: Path
    method: FittedMethod

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of its maps, by index."""
        return self.method.target.names

    def map(
        self,
        image: ImageLike,
        out: str | Path,
        *overrides: str,
        crs: object = None,
        transform: Sequence[float] | None = None,
        progress: Progress | None = None,
        **keys: object,
    ) -> list[Path]:
        """Map an image as `mapsr map fitted=` does; the same call again finds what is done.

        Args:
            image: a path, a pattern or a CSV list; or an array (B, H, W) of raw values: NumPy,
                torch, or an xarray.DataArray whose coordinates say where it lies.
            out: the map, or a folder where ``image`` names several.
            overrides: as the command takes them, such as "refine=none".
            crs: of an array, such as "EPSG:26917".
            transform: of an array, six numbers from (column, row) to coordinates.
            progress: shows the work; None: nothing does.
            keys: further ones without a dot, such as confidence=True, coarse="nlcd.tif".

        Returns:
            The maps, in the order of the images.

        Raises:
            MapsrError: an image can't be mapped; those before and after it are.
            RasterError: an array lies nowhere.
        """
        if not isinstance(image, str | Path) and crs is None:
            own = getattr(image, "coords", {})
            if "spatial_ref" not in own and "crs" not in getattr(image, "attrs", {}):
                raise RasterError(
                    "An array without a place can't become a map: give crs= and transform=, or "
                    "use score()."
                )
        with TemporaryDirectory(prefix="mapsr-") as folder:
            path = as_path(image, Path(folder), "image", crs, transform)
            words = [f"fitted={self.path}", f"image={path}", f"out={out}"]
            return _mapped([*words, *overrides, *words_of(keys)], progress or Quiet())

    def score(self, image: ImageLike, *overrides: str, **keys: object) -> Any:  # noqa: ANN401
        """Score an array, as `mapsr map scores=true` scores a file with these values.

        Memory: the scores, and what a map of that size takes.

        Args:
            image: an array (B, H, W) of raw values, as the method was fitted on: NumPy, torch, or
                an xarray.DataArray.
            overrides: as `mapsr map` takes them.
            keys: further ones without a dot.

        Returns:
            float32 (C, H, W), NaN for nodata and for a class that can't win; a torch tensor on the
            CPU where the image is a tensor, else a NumPy array.

        Raises:
            MapsrError: the array does not fit the method.
        """
        raster = as_raster(image)
        with TemporaryDirectory(prefix="mapsr-") as folder:
            path, out = Path(folder) / "image.tif", Path(folder) / "map.tif"
            raster.write(path)
            words = [f"fitted={self.path}", f"image={path}", f"out={out}", "scores=true"]
            _mapped([*words, *overrides, *words_of(keys)], Quiet())
            scores = read_values(out.with_name("map_scores.tif"), raster.grid.window)
        torch = sys.modules.get("torch")
        tensor = torch is not None and isinstance(image, torch.Tensor)
        return torch.from_numpy(scores) if torch is not None and tensor else scores


def load(source: str | Path) -> Fitted:
    """Load a fitted method: the folder of a run or of maps, or a file.

    Raises:
        FittedError: there is none, or it can't be read.
    """
    path = find_fitted(Path(source))
    return Fitted(path, load_fitted(path))


def fit(
    image: ImageLike,
    coarse: str | Path,
    out: str | Path,
    *overrides: str,
    progress: Progress | None = None,
    **keys: object,
) -> Fitted:
    """Fit a method on a coarse product, as `mapsr map coarse=` does before it maps.

    Args:
        image: a path, a pattern or a CSV list; or an xarray.DataArray with its place.
        coarse: the product.
        out: the fitted method's file; ".fitted.safetensors" is added where it does not end so. The
            same call again finds it there.
        overrides: as the command takes them, such as "legend.coarse=nlcd", "method=kmeans_voting".
        progress: shows the work; None: nothing does.
        keys: further ones without a dot.

    Raises:
        MapsrError: nothing can be fitted on.
    """
    path = Path(out)
    if not path.name.endswith(SUFFIX):
        path = path.with_name(path.name + SUFFIX)
    with TemporaryDirectory(prefix="mapsr-") as folder:
        words = [f"image={as_path(image, Path(folder), 'image')}", f"coarse={coarse}"]
        words += [f"out={path.with_suffix('')}.tif", *overrides, *words_of(keys)]
        settings = compose_map(words)
        found = find_images(
            settings.image,
            settings.coarse,
            image_asset=settings.image_asset,
            coarse_asset=settings.coarse_asset,
        )
        images = usable(found, settings, None)
        fitted, _ = fit_region(images, settings, path, progress or Quiet())
    return Fitted(path, fitted)


def words_of(keys: Mapping[str, object]) -> list[str]:
    """Keys and values as overrides."""
    shown = {True: "true", False: "false", None: "null"}
    return [
        f"{key}={shown[value] if value is None or isinstance(value, bool) else value}"
        for key, value in keys.items()
    ]


def _mapped(words: Sequence[str], progress: Progress) -> list[Path]:
    """Map, and raise the first error."""
    region = map_region(compose_map(words), progress)
    for one in region.mapped:
        if one.error is not None:
            raise one.error
    return [one.out for one in region.mapped if one.out is not None]
