"""The legend that a label raster carries itself: names of its classes, and its palette."""

from pathlib import Path

from mapsr.geo.opening import open_raster
from mapsr.legends import NODATA, LandClass, Legend

_NAME = "CLASS_"
"""Tags of the first band in which ``write_cog`` notes the names of classes, by index."""
_GREY = (128, 128, 128)


def read_legend(path: Path) -> Legend | None:
    """Return the legend that a raster of labels carries; its codes are the indices of classes.

    Args:
        path: the raster, such as a map.

    Returns:
        The legend, with grey for classes that the palette does not colour; None where the first
        band names no classes.

    Raises:
        RasterError: the file can't be read.
        LegendError: it names two classes alike.
    """
    with open_raster(path) as dataset:
        tags = {str(key): str(value) for key, value in dataset.tags(1).items()}
        try:
            palette = dataset.colormap(1)
        except ValueError:  # it has none
            palette = {}
    names = {
        int(key.removeprefix(_NAME)): name
        for key, name in tags.items()
        if key.startswith(_NAME) and key.removeprefix(_NAME).isdigit()
    }
    names = {index: name for index, name in names.items() if index < NODATA}
    if not names:
        return None
    classes = tuple(
        LandClass(index, names[index], tuple(palette.get(index, (*_GREY, 255))[:3]))
        for index in sorted(names)
    )
    return Legend(path.stem, path.stem, str(path), classes)
