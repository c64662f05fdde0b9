"""Pictures as text that stands in a page: PNG of labels, JPEG of images."""

import base64
import io

import numpy as np
from numpy.typing import NDArray

from mapsr.legends import NODATA, Legend
from mapsr.report.figures import NODATA_COLOR, Color

_QUALITY = 85
"""Of JPEG: about a byte for three pixels of an aerial image, and no edge that is seen to suffer."""
RAMP: tuple[Color, ...] = (
    *((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)),
)
"""Colours from low to high, evenly spaced: viridis, which grows lighter all along and is told apart
by colour-blind eyes. Source: matplotlib, 2015, CC0."""
_STEPS = 254


def image_uri(colors: NDArray[np.uint8]) -> str:
    """Return a picture uint8 (H, W, 3) as a data URI of a JPEG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(colors).save(file, "JPEG", quality=_QUALITY)
    return _uri("jpeg", file)


def labels_uri(labels: NDArray[np.uint8], legend: Legend) -> str:
    """Return labels uint8 (H, W) as a data URI of a PNG in the colours of their legend.

    Args:
        labels: 0..C-1; every other value is drawn as nodata.
        legend: with the C classes.
    """
    return _png(labels, [*legend.colors], nodata=NODATA)


def values_uri(values: NDArray[np.float32], low: float, high: float) -> str:
    """Return values (H, W) as a data URI of a PNG in the colours of the ramp.

    Args:
        values: NaN is drawn as nodata.
        low: value of the ramp's first colour; lower ones have it, too.
        high: value of its last colour; higher ones have it, too.
    """
    spread = max(high - low, 1e-12)
    steps = np.nan_to_num((values - low) / spread, nan=0.0).clip(0, 1) * (_STEPS - 1)
    indices = np.where(np.isnan(values), NODATA, np.rint(steps)).astype(np.uint8)
    return _png(indices, [ramp_color(step / (_STEPS - 1)) for step in range(_STEPS)], nodata=NODATA)


def ramp_color(share: float) -> Color:
    """Return the colour of the ramp at a share, 0 to 1, of its length."""
    places = np.linspace(0, 1, len(RAMP))
    red, green, blue = (
        round(float(np.interp(share, places, [color[band] for color in RAMP]))) for band in range(3)
    )
    return red, green, blue


def _png(indices: NDArray[np.uint8], colors: list[Color], nodata: int) -> str:
    from PIL import Image

    palette = np.tile(np.array(NODATA_COLOR, np.uint8), (256, 1))  # (256, 3)
    palette[: len(colors)] = colors
    palette[nodata] = NODATA_COLOR
    picture = Image.fromarray(indices).convert("L")
    picture.putpalette(palette.tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return _uri("png", file)


def _uri(kind: str, file: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
