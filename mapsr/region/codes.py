"""Whether a coarse product holds the codes of the legend that it is said to be in."""

from collections import Counter
from collections.abc import Sequence

from mapsr.errors import DataError
from mapsr.findings import evenly, percent
from mapsr.geo.examination import count_codes
from mapsr.legends import MOST_UNKNOWN, Legend, unknown_codes
from mapsr.region.images import Image

COUNTED = 8
"""Images of many under which codes are counted, drawn evenly."""


def require_codes(images: Sequence[Image], legend: Legend) -> None:
    """Refuse to fit on a product of another legend, or on a picture; `mapsr doctor` judges alike.

    Args:
        images: to fit on, whose products reach them.
        legend: that the products are said to be in.

    Raises:
        DataError: more than a hundredth of the pixels with a code have one that the legend has not.
        RasterError: a product can't be read.
    """
    counts: Counter[int] = Counter()
    for image in evenly(images, COUNTED):
        if image.info is not None and image.coarse is not None:
            counts.update(count_codes(image.coarse, image.info.grid))
    share, codes = unknown_codes(legend, counts)
    if share > MOST_UNKNOWN:
        raise DataError(
            f"{percent(share)} of the pixels of the coarse product have a code that legend "
            f"'{legend.name}' has not ({', '.join(map(str, codes[:5]))}): set legend.coarse= to "
            "the product's own legend; `mapsr doctor IMAGE PRODUCT` says which ones fit."
        )
