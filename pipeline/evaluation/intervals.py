"""Intervals: how far a share that was counted on a few pictures may be from that of all pictures."""

import math
from statistics import NormalDist
from typing import Final

import numpy as np

TWO_SIDED: Final = NormalDist().inv_cdf(0.975)
ONE_SIDED: Final = NormalDist().inv_cdf(0.95)


def interval_of_share(share: float, support: float) -> tuple[float, float]:
    """The 95 % interval of a share that was seen on so many pictures (Wilson's, which stays between 0 and 1).

    Of no picture it is all from 0 to 1.
    """
    if support == 0:
        return 0.0, 1.0
    z = TWO_SIDED
    centre = (share + z * z / (2 * support)) / (1 + z * z / support)
    reach = z / (1 + z * z / support) * math.sqrt(share * (1 - share) / support + z * z / (4 * support**2))
    return centre - reach, centre + reach


def lower_bound_of_share(shares: np.ndarray, supports: np.ndarray) -> np.ndarray:
    """The one-sided 95 % lower bound (Wilson's) of each of these shares, seen on so many pictures each."""
    z = ONE_SIDED
    centres = (shares + z * z / (2 * supports)) / (1 + z * z / supports)
    return centres - z / (1 + z * z / supports) * np.sqrt(shares * (1 - shares) / supports + z * z / (4 * supports**2))


def sign_test(gained: int, lost: int) -> float:
    """The probability that of `gained + lost` pictures, each as likely gained as lost, so many or more are gained.

    The exact one-sided test of McNemar, for answers of two classifiers to the same pictures that differ in being right.
    """
    total = gained + lost
    return float(sum(math.comb(total, count) for count in range(gained, total + 1)) / 2**total)
