"""Arrays in memory as rasters: where they lie."""

from collections.abc import Sequence

from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from mapsr.errors import RasterError
from mapsr.geo.grids import Grid


def grid_of_array(
    size: tuple[int, int], crs: object = None, transform: Sequence[float] | None = None
) -> Grid:
    """Return the grid of an array.

    Args:
        size: rows and columns.
        crs: anything that names a reference system ("EPSG:26917", WKT, a CRS object); None with no
            transform: nowhere, on pixels of 1 m.
        transform: six numbers a, b, c, d, e, f from (column, row) to coordinates.

    Raises:
        RasterError: one of both is missing or can't be read, or the pixels are rotated.
    """
    if crs is None and transform is None:
        return Grid(CRS.from_epsg(32631), Affine(1, 0, 500000, 0, -1, 0), *size)
    if crs is None or transform is None:
        raise RasterError("An array needs both crs= and transform=, or neither: give the other.")
    try:
        a, b, c, d, e, f = (float(one) for one in tuple(transform)[:6])
        system = CRS.from_user_input(crs)
    except (CRSError, TypeError, ValueError) as error:
        raise RasterError(
            f"crs={crs!r} and transform={transform!r} can't be read as the place of an array "
            f"({error}), expected such as 'EPSG:26917' and six numbers."
        ) from error
    if b or d:
        raise RasterError(f"transform={tuple(transform)} is rotated, expected rows along x.")
    return Grid(system, Affine(a, 0, c, 0, e, f), *size)
