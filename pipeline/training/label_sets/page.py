"""The page of a classifier of sets: what it adds to that of other classifiers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.reports.markdown import markdown_table
from pipeline.reports.report import Report


def add_promises(page: Report, evaluation: Mapping[str, Any]) -> Report:
    """Adds the promise of each answer, and the scores of all answers together."""
    target = evaluation["calibration"]["target_precision"]
    rows = [
        [
            answer,
            "never given" if each["threshold"] is None else f"{each['threshold']:.3f}",
            f"{each['coverage']:.0%}",
            each["count"],
            "" if each["precision"] is None else f"{each['precision']:.3f}",
            "{:.3f} - {:.3f}".format(*each["interval"]) if each["count"] else "",
        ]
        for answer, each in evaluation["promises"].items()
    ]
    header = ["answer", "from confidence", "of such answers", "images", "right on the holdout", "95 % interval"]
    text = (
        f"target precision {target:.0%} of each answer, whether a label holds or not; an image is auto-accepted if an"
        " answer about every label is sure enough"
    )
    scores = {"micro_f1": evaluation["micro_f1"]}
    return replace(
        page,
        numbers={**page.numbers, **scores},
        texts={**page.texts, "target": text},
        tables={"promises": markdown_table(header, rows), **page.tables},
    )
