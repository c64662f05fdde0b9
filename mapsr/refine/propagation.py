"""Label propagation: scores that agree with the graph and stay near where they began."""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy import sparse

_RESOLUTION = 4 * float(np.finfo(np.float64).eps)


def fixed_point(
    graph: "sparse.csr_array",
    scores: NDArray[np.float64],
    alpha: float,
    tolerance: float,
    most_steps: int | None = None,
) -> NDArray[np.float64]:
    """Solve (I - alpha A) Y = (1 - alpha) Y0 by Y <- alpha A Y + (1 - alpha) Y0.

    A has its spectrum in [-1, 1], so a step of length d leaves an error of at most
    alpha / (1 - alpha) d: the iteration stops when that is below ``tolerance`` of |Y0|.

    Args:
        graph: (N, N) normalised A.
        scores: (N, C) Y0.
        alpha: in [0, 1).
        tolerance: relative error in the Frobenius norm.
        most_steps: stop after so many steps in any case.

    Returns:
        Y, (N, C).

    Source: MapSR, equations (12) and (13).
    """
    # below the resolution of float64 steps no longer get shorter
    least = max(tolerance * (1 - alpha) / max(alpha, 1e-12), _RESOLUTION)
    enough = least * float(np.linalg.norm(scores))
    current, step = scores, 0
    # by then a step is shorter than the resolution, whatever the graph
    last = math.ceil(math.log(_RESOLUTION) / math.log(alpha)) + 10 if alpha > 0 else 1
    most = last if most_steps is None else min(most_steps, last)
    while step < most:
        following = alpha * (graph @ current) + (1 - alpha) * scores
        moved = float(np.linalg.norm(following - current))
        current, step = following, step + 1
        # not-a-number never comes to rest
        if moved <= enough or not np.isfinite(moved):
            break
    return current


def conjugate_gradients(
    graph: "sparse.csr_array",
    scores: NDArray[np.float64],
    alpha: float,
    tolerance: float,
    most_steps: int | None = None,
) -> NDArray[np.float64]:
    """Solve (I - alpha A) Y = (1 - alpha) Y0 class by class, starting from zero.

    Args:
        graph: (N, N) normalised A.
        scores: (N, C) Y0.
        alpha: in [0, 1).
        tolerance: relative residual of each class.
        most_steps: stop after so many steps in any case.

    Returns:
        Y, (N, C).

    Source: MapSR, equation (12); Hestenes and Stiefel 1952, doi:10.6028/jres.049.044.
    """
    from scipy import sparse  # seconds, which settings alone need not
    from scipy.sparse.linalg import cg

    system = sparse.eye_array(graph.shape[0], format="csr") - alpha * graph
    columns = [
        cg(system, (1 - alpha) * column, rtol=tolerance, atol=0.0, maxiter=most_steps)[0]
        for column in scores.T
    ]
    return np.stack(columns, axis=1)


SOLVERS = {"fixed_point": fixed_point, "conjugate_gradients": conjugate_gradients}
