"""The page of a classifier: scores with intervals, calibration, confusions, errors and former versions."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.evaluation.calibration import Calibration
from pipeline.evaluation.plots import draw_accuracies, draw_reliability
from pipeline.evaluation.scores import choose_worst, confusion_table
from pipeline.reports.contact_sheet import TILE, Tile, draw_contact_sheet
from pipeline.reports.markdown import markdown_table
from pipeline.reports.palette import DOUBTFUL
from pipeline.reports.report import Report
from pipeline.reports.thumbnails import draw_thumbnails
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.classifier import Classifier
from pipeline.training.label_sets.page import add_promises

SHOWN_VERSIONS: Final = 10
SHOWN_TRIED: Final = 30  # combinations of a search, the best first
OPTIMISM: Final = 0.02  # of accuracy, above what harder folds reach


def describe_classifier(classifier: Classifier) -> Report:
    """Reports scores with their 95 % intervals, the confusion matrix, the calibration and the reliability curve."""
    report, calibration = classifier.report, classifier.calibration
    reliability = report["reliability"]
    scores = [
        [label, _share(each, "precision"), _share(each, "recall"), f"{each['f1']:.3f}", each["support"]]
        for label, each in ((label, report["classes"][label]) for label in choose_worst(report["classes"]))
    ]
    page = Report(
        numbers={
            **{name: report[name] for name in ("accuracy", "macro_f1", "train_count", "holdout_count")},
            "calibration_error": reliability["calibration_error"],
            "coverage": reliability["coverage"],
            **({"given_precision": reliability["given_precision"]} if reliability["given_count"] else {}),
            "temperature": calibration.temperature,
            **({"threshold": calibration.threshold} if calibration.threshold is not None else {}),
        },
        texts={
            "version": classifier.version,
            "backbone": classifier.backbone[:16],
            "target": _describe_target(calibration),
            **_describe_optimism(report),
        },
        tables={
            "scores": markdown_table(["on the holdout", "", "95 % interval"], _list_scores(report)),
            "confusion_matrix": confusion_table(report["confusion"]),
            "params": markdown_table(["parameter", "value"], _plain_params(report)),
            **_describe_search(report),
            "classes": markdown_table(["label", "precision", "recall", "F1", "support"], scores),
        },
        images={"reliability": draw_reliability(reliability["bins"], calibration.threshold)},
    )
    return add_promises(page, report) if classifier.is_of_sets else page


def draw_errors(classifier: Classifier, images: StoredRows, limits: Limits = DEFAULT_LIMITS) -> dict[str, bytes]:
    """Draws the most confident errors on the holdout as a contact sheet; empty if there are none.

    Args:
        classifier: a classifier.
        images: labelled images, with the columns of `contents.COLUMNS`.
        limits: limits for one image.
    """
    errors = classifier.report["mistakes"]
    thumbnails = draw_thumbnails(images, {each["image_id"] for each in errors}, TILE, limits)
    tiles = []
    for each in errors:
        if each["image_id"] in thumbnails:
            caption = f"{each['predicted_label']} {each['confidence']:.0%}\nis {each['label']}"
            tiles.append(Tile(thumbnails[each["image_id"]], caption, DOUBTFUL))
    return {"most_confident_errors": draw_contact_sheet(tiles)} if tiles else {}


def describe_former(promoted: str, evaluations: Sequence[tuple[str, Mapping[str, Any]]]) -> Report:
    """Lists the versions to roll back to, with their accuracy, and plots the accuracy of all.

    Args:
        promoted: version that is being promoted.
        evaluations: stored evaluations by version, the promoted one first, then former ones, newest first.
    """
    rows = [[version, f"{report['accuracy']:.3f}"] for version, report in evaluations if version != promoted]
    if not rows:
        return Report()
    return Report(
        tables={"former_versions": markdown_table(["version", "accuracy then"], rows[:SHOWN_VERSIONS])},
        images={"accuracy_over_trainings": draw_accuracies(evaluations[::-1])},
    )


def _list_scores(report: Mapping[str, Any]) -> list[Sequence[object]]:
    reliability, ungrouped = report["reliability"], report.get("ungrouped")
    rows: list[Sequence[object]] = [
        [_name_accuracy(report), f"{report['accuracy']:.3f}", _interval(report["accuracy_interval"])],
        ["macro F1", f"{report['macro_f1']:.3f}", _interval(report["macro_f1_interval"])],
    ]
    if "micro_f1" in report:
        rows.append(["micro F1", f"{report['micro_f1']:.3f}", _interval(report["micro_f1_interval"])])
    if ungrouped:
        accuracy, support = f"{ungrouped['accuracy']:.3f}", f"of {ungrouped['support']} images"
        rows.append(["accuracy with near-duplicates split across", accuracy, support])
    for level in report.get("levels", ())[1:]:
        name = f"accuracy where {level['shelf_count']} shelves of each label are held out in turn"
        rows.append([name, f"{level['accuracy']:.3f}", "as on harder days"])
    error, chance = reliability["calibration_error"], reliability["chance_error"]
    rows.append(["expected calibration error", f"{error:.3f}", f"up to {chance:.3f} by chance"])
    if reliability["given_count"]:
        precision, interval = f"{reliability['given_precision']:.3f}", _interval(reliability["given_interval"])
        rows.append([f"precision of the {reliability['coverage']:.0%} auto-accepted", precision, interval])
    return rows


def _name_accuracy(report: Mapping[str, Any]) -> str:
    return "whole sets that are right" if "promises" in report else "accuracy"


def _describe_optimism(report: Mapping[str, Any]) -> dict[str, str]:
    """Says in a sentence what days from elsewhere are like; nothing without harder cross-fits."""
    shares = [level["accuracy"] for level in report.get("levels", ())[1:]]
    if not shares or report["accuracy"] - min(shares) < OPTIMISM:
        return {}
    return {
        "optimism": (
            f"{report['accuracy']:.0%} of the holdout are right, but it resembles the training set: expect"
            f" {min(shares):.0%} to {max(shares):.0%} on days from other places, whose images the classifier has seen"
            " nothing like"
        )
    }


def _describe_target(calibration: Calibration) -> str:
    target = f"target precision {calibration.target_precision:.0%}"
    if calibration.threshold is None:
        return f"{target}: no confidence reaches it, so no prediction is auto-accepted"
    return f"{target}: predictions are auto-accepted from confidence {calibration.threshold:.3f}"


def _describe_search(report: Mapping[str, Any]) -> dict[str, str]:
    """Lists the heads and parameters that a search tried, the best first; nothing without a search."""
    tried = sorted(report["chosen"].get("tried", ()), key=lambda each: -each["accuracy"])
    if not tried:
        return {}
    head = report["params"]["head"]
    rows = [
        [
            each.get("head", head),
            ", ".join(f"{name} {value:g}" for name, value in each.items() if name not in ("head", "accuracy")),
            f"{each['accuracy']:.4f}",
        ]
        for each in tried[:SHOWN_TRIED]
    ]
    return {"search": markdown_table(["head", "parameters", "accuracy by cross-validation"], rows)}


def _plain_params(report: Mapping[str, Any]) -> list[tuple[str, object]]:
    asked = {
        name: value for name, value in report["params"].items() if name not in ("params", "grid", "heads", "folds")
    }
    best = report["chosen"].get("best", {})
    return [*asked.items(), *report["params"]["params"].items(), *((f"best {name}", best[name]) for name in best)]


def _share(score: Mapping[str, Any], name: str) -> str:
    return f"{score[name]:.3f} ({_interval(score[f'{name}_interval'])})"


def _interval(interval: Sequence[float]) -> str:
    return f"{interval[0]:.3f} - {interval[1]:.3f}"
