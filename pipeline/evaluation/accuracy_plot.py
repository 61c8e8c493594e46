"""The accuracy of the classifiers that were in use, each with its 95 % interval, the one in use last."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.figure import Figure

from pipeline.evaluation.intervals import interval_of_share
from pipeline.evaluation.reliability_plot import DPI, FAINT, INK, WIDTH

HEIGHT: Final = 220
SHOWN: Final = 20
NAME_LENGTH: Final = 6


def draw_accuracies(reports: Sequence[tuple[str, Mapping[str, Any]]]) -> bytes:
    """Draws the newest twenty as a JPEG of 440 by 220 pixels.

    Args:
        reports: version and `evaluation.json` of each, in the order in which they were last in use.
    """
    shown = reports[-SHOWN:]
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    accuracies = [report["accuracy"] for _, report in shown]
    for place, (_, report) in enumerate(shown):
        axes.vlines(place, *interval_of_share(report["accuracy"], report["holdout_count"]), color=FAINT, linewidth=3)
    axes.plot(range(len(shown)), accuracies, "o-", color=INK, markersize=4, linewidth=1.2)
    axes.set_xticks(range(len(shown)), [version[:NAME_LENGTH] for version, _ in shown], rotation=45, ha="right")
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.set_ylabel("accuracy on its holdout", fontsize=8)
    file = io.BytesIO()
    figure.savefig(file, format="jpeg", pil_kwargs={"quality": 92})
    return file.getvalue()
