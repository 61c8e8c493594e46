"""Formats the trace of an image for a terminal; escapes characters in untrusted names that would move its cursor."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from pipeline.daily.traces import ClassifierTrace, Row, Trace
from pipeline.images.sidecar_files import SIDECAR
from pipeline.images.split import HOLDOUT, TRAIN
from pipeline.reports.markdown import escape_invisible

SHOWN_ROWS: Final = 20
LEFT_OUT: Final = "left out"
UNKNOWN: Final = "these classifiers were deleted, or stored before training sets were recorded:"


def format_trace(trace: Trace) -> str:
    """Formats a trace as sections of aligned lines, predictions before training sets."""
    sections = [
        ("image", [trace.image_id or _explain_missing_id(trace)]),
        ("arrivals", _format_arrivals(trace)),
        ("features", _format_features(trace)),
        ("predictions", _format_predictions(trace)),
        ("reviews", _format_reviews(trace)),
        ("current training set", _format_training_row(trace)),
        ("classifiers of the predictions", _format_classifiers(trace)),
        ("classifiers trained or evaluated on it", _format_members(trace, [trace.image_id])),
        ("near-duplicates", _format_near_duplicates(trace)),
        ("unknown training sets", [UNKNOWN, ", ".join(trace.unknown)] if trace.unknown else []),
    ]
    return "\n\n".join("\n".join([name.upper(), *(f"  {line}" for line in lines)]) for name, lines in sections if lines)


def align(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Aligns columns, and cuts off after `SHOWN_ROWS` rows."""
    lines = [list(header), *([escape_invisible(_format_cell(cell)) for cell in row] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    aligned = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    more = len(aligned) - 1 - SHOWN_ROWS
    return aligned if more <= 0 else [*aligned[: SHOWN_ROWS + 1], f"and {more} more (use --json to list all)"]


def _explain_missing_id(trace: Trace) -> str:
    if any(row["read_error"] == SIDECAR for row in trace.arrivals):
        return "none: it is a sidecar file of an operating system, not an image"
    return "unknown: the bytes could not be read"


def _format_arrivals(trace: Trace) -> list[str]:
    if not trace.arrivals:
        return ["on no stored day" + (", but it is a labelled image" if trace.labelled else "")]
    rows = [[r["day"], r["length"], r["modified_at"], r["path"] + _bracket(r["read_error"])] for r in trace.arrivals]
    return align(["day", "bytes", "modified (UTC)", "path"], rows)


def _format_features(trace: Trace) -> list[str]:
    rows = trace.features or ([trace.training_row] if trace.training_row else [])
    if not rows:
        return ["none: not computed yet, or the bytes could not be read"]
    cells = []
    for row in rows:
        pixels = f"{row['width']} x {row['height']}" if row["width"] else ""
        cells.append([row.get("day") or "training", row["format"], pixels, _short(row["backbone"]), row["error"] or ""])
    return align(["day", "format", "pixels", "backbone", "error"], cells)


def _format_predictions(trace: Trace) -> list[str]:
    if not trace.predictions:
        return ["none: no day with this image was predicted"]
    rows = []
    for row in trace.predictions:
        prediction = [row["predicted_label"], _share(row["confidence"]), row["decision"] + _bracket(row["error"])]
        rows.append([row["day"], *prediction, row["classifier"], _short(row["backbone"]), row["path"]])
    earlier = sorted({row["near_duplicate_of"] for row in trace.predictions if row.get("near_duplicate_of")})
    return [
        *align(["day", "label", "confidence", "decision", "classifier", "backbone", "path"], rows),
        *(f"sent before in another encoding or size: {image_id}" for image_id in earlier),
    ]


def _format_reviews(trace: Trace) -> list[str]:
    if not trace.queued and not trace.reviews:
        return ["never queued, never reviewed"] if trace.predictions else []
    queued = [[row["day"], row["reason"], row["predicted_label"]] for row in trace.queued]
    reviewed = [[row["day"], row["label"], row["origin"], row["problem"] or ""] for row in trace.reviews]
    return [
        *(align(["queued on", "reason", "predicted label"], queued) if queued else []),
        *(align(["day", "reviewed label", "form", "problem"], reviewed) if reviewed else ["not reviewed"]),
    ]


def _format_training_row(trace: Trace) -> list[str]:
    if not trace.labelled:
        return ["not a labelled image"]
    split = "no features yet"
    if row := trace.training_row:
        split = f"split {row.get('split') or LEFT_OUT}, label {_format_cell(row.get('label'))}"
    files = align(["label", "label from", "path"], ([r["label"], r.get("origin"), r["path"]] for r in trace.labelled))
    return [escape_invisible(split), *files]


def _format_classifiers(trace: Trace) -> list[str]:
    lines: list[str] = []
    for each in trace.classifiers:
        if each.has_predicted:
            stored = f", stored {_format_cell(each.stored_at)} UTC" if each.stored_at else ""
            lines.append(f"{each.version} ({each.state}{stored})")
            lines += [f"  {line}" for line in _format_training(each, trace)]
    return lines


def _format_training(classifier: ClassifierTrace, trace: Trace) -> list[str]:
    lines = [_format_scores(classifier.report)] if classifier.report else []
    if classifier.training_set_path is None:
        return [*lines, "unknown training set"]
    rows = classifier.rows_of([trace.image_id])
    membership = f"{rows[0]['split']} as {_format_cell(rows[0]['label'])}" if rows else "not in its training set"
    file_count = sum(row["file_count"] for row in classifier.counts)
    lines.append(escape_invisible(f"training set of {file_count} files: {classifier.training_set_path}"))
    lines.append(escape_invisible(f"this image: {membership}"))
    return lines + align(["label", TRAIN, HOLDOUT, LEFT_OUT], _count_labels(classifier))


def _format_scores(report: Row) -> str:
    interval = report.get("accuracy_interval")  # absent from old versions
    bounds = f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    accuracy = f"accuracy {report['accuracy']:.3f}{bounds} on {report['holdout_count']} holdout images"
    return f"{accuracy}, {report['train_count']} training images, backbone {_short(report['backbone'])}"


def _count_labels(classifier: ClassifierTrace) -> list[list[object]]:
    counts: dict[str, dict[str | None, int]] = {}
    for row in classifier.counts:
        counts.setdefault(row["label"], {})[row["split"]] = row["file_count"]
    return [[label, *(by.get(split, 0) for split in (TRAIN, HOLDOUT, None))] for label, by in sorted(counts.items())]


def _format_members(trace: Trace, image_ids: Sequence[str | None]) -> list[str]:
    rows = [
        [each.version, each.state, each.stored_at, row["split"], row["label"], row["path"]]
        for each in trace.classifiers
        for row in each.rows_of(image_ids)
    ]
    if not rows:
        return ["none with a known training set"]
    return align(["classifier", "state", "stored (UTC)", "split", "label", "path"], rows)


def _format_near_duplicates(trace: Trace) -> list[str]:
    if not trace.near_duplicates:
        return []
    pairs = trace.near_duplicates
    rows = [[_short(r["image_id"]), _short(r["near_duplicate_id"]), _share(r["correlation"])] for r in pairs]
    return [
        *align(["image_id", "near-duplicate of", "correlation"], rows),
        "classifiers trained or evaluated on them:",
        *_format_members(trace, trace.near_duplicate_ids),
    ]


def _bracket(text: str | None) -> str:
    return f" ({text})" if text else ""


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _short(digest: str | None) -> str:
    return (digest or "")[:12]


def _format_cell(cell: object) -> str:
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d %H:%M:%S}"
    return "-" if cell is None else str(cell)
