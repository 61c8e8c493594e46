"""Plots of a classifier's quality: the accuracy of successive classifiers, and the reliability curve of one."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.evaluation.intervals import interval_of_share
from pipeline.reports.figures import FONT_SIZE, new_figure, style_axes, to_jpeg
from pipeline.reports.palette import DOUBTFUL, FAINT, GOOD

SHOWN_CLASSIFIERS: Final = 20


def draw_accuracies(reports: Sequence[tuple[str, Mapping[str, Any]]]) -> bytes:
    """Draws the holdout accuracy of the last 20 classifiers, with 95 % intervals, as a JPEG of 440 by 220 pixels.

    Args:
        reports: version and `evaluation.json` of each classifier, the current one last.
    """
    shown = reports[-SHOWN_CLASSIFIERS:]
    figure = new_figure(220)
    axes = figure.subplots()
    for place, (_, report) in enumerate(shown):
        axes.vlines(place, *interval_of_share(report["accuracy"], report["holdout_count"]), color=FAINT, linewidth=3)
    accuracies = [report["accuracy"] for _, report in shown]
    axes.plot(range(len(shown)), accuracies, "o-", color=GOOD, markersize=4, linewidth=1.2)
    axes.set_xticks(range(len(shown)), [version[:6] for version, _ in shown], rotation=45, ha="right")
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.set_ylabel("accuracy on its holdout", fontsize=FONT_SIZE)
    style_axes(axes)
    return to_jpeg(figure)


def draw_reliability(bins: Sequence[Mapping[str, Any]], threshold: float | None) -> bytes:
    """Draws accuracy against confidence, with 95 % intervals and bin counts, as a JPEG of 440 by 360 pixels.

    A calibrated classifier lies on the diagonal. The bins have the fields of `Bin`, as stored in `evaluation.json`.
    """
    figure = new_figure(360)
    curve, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    confidences = [each["confidence"] for each in bins]
    curve.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    for each in bins:
        curve.vlines(each["confidence"], *interval_of_share(each["accuracy"], each["count"]), color=FAINT, linewidth=2)
    curve.plot(confidences, [each["accuracy"] for each in bins], "o-", color=GOOD, markersize=4, linewidth=1.2)
    counts.bar(confidences, [each["count"] for each in bins], width=0.06, color=FAINT)
    for axes in (curve, counts):
        style_axes(axes)
        if threshold is not None:
            axes.axvline(threshold, color=DOUBTFUL, linewidth=1, linestyle="--")
    if threshold is not None:
        label = f"auto-accepted from {threshold:.2f} "
        curve.annotate(label, (threshold, 0.02), ha="right", fontsize=FONT_SIZE - 0.5, color=DOUBTFUL)
    curve.set_ylim(0, 1.02)
    curve.set_ylabel("accuracy", fontsize=FONT_SIZE)
    counts.set_xlim(0, 1.02)
    counts.set_xlabel("confidence on the holdout", fontsize=FONT_SIZE)
    counts.set_ylabel("predictions", fontsize=FONT_SIZE)
    return to_jpeg(figure)
