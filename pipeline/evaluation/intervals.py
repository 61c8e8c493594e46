"""Intervals and tests of shares: how far a share of a few images may be from the share of all images."""

import math
from statistics import NormalDist

import numpy as np


def interval_of_share(share: float, support: float) -> tuple[float, float]:
    """Computes the 95 % Wilson interval of a share, which stays between 0 and 1.

    By hand, because SciPy rejects the fractional support of weighted samples. Without support, it is 0 to 1.
    """
    if support == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.975)
    centre = (share + z * z / (2 * support)) / (1 + z * z / support)
    reach = z / (1 + z * z / support) * math.sqrt(share * (1 - share) / support + z * z / (4 * support**2))
    return centre - reach, centre + reach


def lower_bound_of_share(shares: np.ndarray, supports: np.ndarray) -> np.ndarray:
    """Computes the one-sided 95 % Wilson lower bound of each share, observed on `supports` images."""
    z = NormalDist().inv_cdf(0.95)
    centres = (shares + z * z / (2 * supports)) / (1 + z * z / supports)
    return centres - z / (1 + z * z / supports) * np.sqrt(shares * (1 - shares) / supports + z * z / (4 * supports**2))


def sign_test(fixed: int, broken: int) -> float:
    """Computes the one-sided p-value of McNemar's exact test.

    Args:
        fixed: images that only the candidate predicts correctly.
        broken: images that only the other classifier predicts correctly.
    """
    from scipy.stats import binomtest  # the import takes 0.6 CPU-seconds, which a day does not need to spend

    total = fixed + broken
    return float(binomtest(fixed, total, alternative="greater").pvalue) if total else 1.0
