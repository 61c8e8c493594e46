"""Proofs: the lowest confidence above which labels of people prove the target precision, whatever the distribution.

Learn then test (Angelopoulos et al. 2021, arXiv:2110.01052): thresholds are hypotheses, and one that is rejected is
proven. Four shares of the most confident images are tested; their error levels sum to `ERROR`, so the chance that a
threshold is proven although its precision is below the target is at most that.
"""

from typing import Final

import numpy as np

ERROR: Final = 0.05
SHARES: Final = ((1.0, 0.03), (0.75, 0.01), (0.5, 0.005), (0.3, 0.005))  # share of the images, and its error level


def prove_threshold(confidence: np.ndarray, is_right: np.ndarray, target_precision: float) -> float | None:
    """Finds the lowest proven threshold; None if nothing is proven.

    Args:
        confidence: of a random sample of predictions, float64 `[n]`.
        is_right: whether each is right, by a person, bool `[n]`.
        target_precision: precision to prove, 0 to 1.
    """
    falling = np.sort(confidence)[::-1]
    for share, level in SHARES:
        count = round(share * len(falling))
        if count == 0:
            continue
        threshold = float(falling[count - 1])
        chosen = confidence >= threshold
        if _chance_of_fewer_errors(int((~is_right[chosen]).sum()), int(chosen.sum()), 1 - target_precision) <= level:
            return threshold
    return None


def is_refuted(is_right: np.ndarray, target_precision: float) -> bool:
    """Whether so many of these predictions are wrong that chance does not explain it at the target precision."""
    from scipy.stats import binom

    wrong = int((~is_right).sum())
    return bool(len(is_right) and binom.sf(wrong - 1, len(is_right), 1 - target_precision) <= ERROR)


def _chance_of_fewer_errors(errors: int, count: int, share: float) -> float:
    """Chance of at most this many errors if this share of all predictions is wrong."""
    from scipy.stats import binom  # the import takes 0.6 CPU-seconds, which a day without labels does not need to spend

    return float(binom.cdf(errors, count, share))
