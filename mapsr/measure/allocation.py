"""How many points of a sample go to each stratum.

Source: Olofsson et al., 2014, section 5.1.1 and equation 13, doi:10.1016/j.rse.2014.02.015, after
Cochran, Sampling techniques, 1977, equation 5.25.
"""

import math
from collections.abc import Sequence

import numpy as np

from mapsr.errors import ConfigError, require_range
from mapsr.measure.estimates import Stratum

ALLOCATIONS = ("minimum", "proportional", "equal")


def points_for(strata: Sequence[Stratum], expected: Sequence[float], error: float) -> int:
    """How many points make the overall accuracy known to a standard error.

    n = (sum W_h S_h)^2 / (error^2 + sum W_h S_h^2 / N) with S_h^2 = U_h (1 - U_h), where U_h is the
    share of right pixels that is expected in stratum h.

    Args:
        strata: the strata, H of them.
        expected: U_h, 0 to 1.
        error: the standard error that is wanted, above 0.
    """
    require_range(error, "error", high=0.5, open_low=True)
    hectares = np.array([one.hectares for one in strata])
    weights, pixels = hectares / hectares.sum(), sum(one.pixels for one in strata)
    right = np.array([require_range(one, "expected", high=1.0) for one in expected])
    spread = np.sqrt(right * (1 - right))
    whole = error**2 + float((weights * spread**2).sum()) / pixels
    return math.ceil(float((weights * spread).sum()) ** 2 / whole - 1e-9)


def allocate(strata: Sequence[Stratum], points: int, how: str, minimum: int) -> list[int]:
    """Share points out among strata; none gets more than it has pixels.

    Args:
        strata: the strata, each with a pixel at least.
        points: in all.
        how: "minimum": in proportion to the ground, but ``minimum`` for each stratum that would get
            fewer (what Olofsson et al. recommend, for rare classes); "proportional"; "equal".
        minimum: at least 2: one point does not say how much points differ.

    Returns:
        Points of each stratum.

    Raises:
        ConfigError: there are too few points for that.
    """
    require_range(minimum, "minimum", low=2)
    least = minimum if how == "minimum" else 2
    floors = [min(least, one.pixels) for one in strata]
    if sum(floors) > points:
        raise ConfigError(
            f"points={points} are too few for {len(strata)} strata of at least {least} points, "
            f"expected {sum(floors)} or more: give more, or minimum=N."
        )
    sizes = [1.0 if how == "equal" else one.hectares for one in strata]
    given: dict[int, int] = {}
    while True:  # those that would get too few or more than they have are settled first
        rest = [index for index in range(len(strata)) if index not in given]
        left = points - sum(given.values())
        total = sum(sizes[index] for index in rest)
        shares = {index: left * sizes[index] / total for index in rest}
        full = {i: strata[i].pixels for i in rest if shares[i] > strata[i].pixels}
        poor = {i: floors[i] for i in rest if shares[i] < floors[i]}
        if not full and not poor:
            break
        given |= poor or full
        if len(given) == len(strata):
            break
    return _rounded(strata, given, shares)


def _rounded(
    strata: Sequence[Stratum], given: dict[int, int], shares: dict[int, float]
) -> list[int]:
    """Whole points: those left after rounding down go to the largest remainders."""
    rest = [index for index in range(len(strata)) if index not in given]
    whole = given | {index: math.floor(shares[index]) for index in rest}
    left = round(sum(shares[index] for index in rest)) - sum(whole[index] for index in rest)
    for index in sorted(rest, key=lambda one: whole[one] - shares[one])[:left]:
        whole[index] += 1
    return [min(whole[index], one.pixels) for index, one in enumerate(strata)]
