"""A reliability diagram: how sure a map is of its labels, against how often they are right."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mapsr.extras import require_extra
from mapsr.files import whole_file


def reliability_figure(path: Path, diagram: NDArray[np.float64], error: float) -> None:
    """Write a PNG of a reliability diagram, above the shares of the pixels.

    Args:
        path: the file to write, ending in .png.
        diagram: (bins, 3), mean confidence, share that was right and share of the pixels.
        error: expected calibration error, in [0, 1].
    """
    require_extra("matplotlib", "A figure")
    from matplotlib.figure import Figure

    filled = diagram[~np.isnan(diagram[:, 0])]
    figure = Figure(figsize=(4.2, 4.8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    above.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    above.plot(filled[:, 0], filled[:, 1], marker="o", markersize=4, color="tab:blue")
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
    above.set_title(f"expected calibration error {error:.3f}", fontsize=10)
    width = 1 / len(diagram)
    below.bar(np.arange(len(diagram)) * width, diagram[:, 2], width, align="edge", color="0.6")
    below.set(xlabel="confidence", ylabel="pixels")
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
