"""Writing label rasters that were made of a map, window by window."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from mapsr.errors import ConfigError, RasterError
from mapsr.files import publish
from mapsr.geo import Grid, Window, clear_sidecars, window_writer, write_cog, write_sidecars
from mapsr.legends import NODATA, Legend


def require_new(out: Path, inputs: Iterable[Path], *, overwrite: bool, suffix: str) -> None:
    """Check the name of a file before the work.

    Raises:
        ConfigError: it has another suffix, is an input, or is there already.
    """
    if out.suffix.lower() != suffix:
        raise ConfigError(f"out={out} is to be written, expected a name that ends in {suffix}.")
    if out.resolve() in {path.resolve() for path in inputs}:
        raise ConfigError(f"out={out} is an input itself; choose another path.")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} is there already: choose another out=, or set overwrite=true.")


def write_labels(
    out: Path,
    grid: Grid,
    legend: Legend,
    parts: Iterable[tuple[Window, NDArray[np.uint8]]],
    tags: Mapping[str, str],
    *,
    overwrite: bool,
) -> None:
    """Write a label raster as maps are written: palette, class names, tags; whole or not at all.

    Args:
        out: the file.
        grid: where it lies.
        legend: a pixel holds the index of a class, 255 for none.
        parts: windows and their values (H, W); pixels of no window are nodata.
        tags: how it was made.
        overwrite: whether side files of others may be replaced.

    Raises:
        RasterError: it can't be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    clear_sidecars(out, overwrite=overwrite)
    try:
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.stem}-") as folder:
            plain, cog = Path(folder) / "plain.tif", Path(folder) / "cog.tif"
            with window_writer(plain, grid, 1, "uint8", NODATA) as write:
                for window, values in parts:
                    write(window, values[None])
            write_cog(plain, cog, tags=tags, legend=legend)
            write_sidecars(out, legend, overwrite=overwrite)
            publish(cog, out)
    except OSError as error:
        raise RasterError(
            f"Can't write {out}: {error.strerror}; choose another out=, or fix that."
        ) from error
