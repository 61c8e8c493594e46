"""The reliability curve: how often answers of a confidence are right; on the diagonal confidence means what it says."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.figure import Figure

from pipeline.evaluation.intervals import interval_of_share

WIDTH: Final = 440
"""Pixels that the value column of an asset's page shows; wider pictures are cut off."""

HEIGHT: Final = 360
DPI: Final = 96
INK: Final = "#15803d"
FAINT: Final = "#cbd5e1"


def draw_reliability(bins: Sequence[Mapping[str, Any]], threshold: float | None) -> bytes:
    """Draws the bins with their 95 % intervals and the number of answers below, as a JPEG of 440 by 360 pixels.

    Args:
        bins: `calibration.Bin` as plain values.
        threshold: from which answers are given; None where none is.
    """
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, layout="constrained")
    curve, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    confidences = [each["confidence"] for each in bins]
    curve.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    for each in bins:
        curve.vlines(each["confidence"], *interval_of_share(each["accuracy"], each["count"]), color=FAINT, linewidth=2)
    curve.plot(confidences, [each["accuracy"] for each in bins], "o-", color=INK, markersize=4, linewidth=1.2)
    counts.bar(confidences, [each["count"] for each in bins], width=0.06, color=FAINT)
    for axes in (curve, counts):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        if threshold is not None:
            axes.axvline(threshold, color="#b45309", linewidth=1, linestyle="--")
    if threshold is not None:
        label = f"given from {threshold:.2f} "
        curve.annotate(label, (threshold, 0.02), ha="right", fontsize=7.5, color="#b45309")
    curve.set_ylim(0, 1.02)
    curve.set_ylabel("share that is right", fontsize=8)
    counts.set_xlim(0, 1.02)
    counts.set_xlabel("confidence on the holdout", fontsize=8)
    counts.set_ylabel("answers", fontsize=8)
    file = io.BytesIO()
    figure.savefig(file, format="jpeg", pil_kwargs={"quality": 92})
    return file.getvalue()
