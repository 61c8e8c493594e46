"""The trace of a picture in words, for a person at a terminal; names of strangers move no cursor there."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from pipeline.daily.traces import ClassifierTrace, Row, Trace
from pipeline.images.split import HOLDOUT, TRAIN
from pipeline.reports.markdown import escape_invisible

SHOWN_ROWS: Final = 20
LEFT_OUT: Final = "left out"
_NAMES: Final = 12
"""Digits of a digest that tell it from others."""


def write_trace(trace: Trace) -> str:
    """Tells all, the answers first and what it was learned from last, in sections of aligned lines."""
    sections = [
        ("picture", [trace.image_id or "not known: the bytes could not be read"]),
        ("arrived", _write_arrivals(trace)),
        ("features", _write_features(trace)),
        ("answers", _write_answers(trace)),
        ("reviews", _write_reviews(trace)),
        ("training set now", _write_side(trace)),
        ("answered by", _write_classifiers(trace)),
        ("models that saw it", _write_seen(trace, [trace.image_id], "none of those whose training set is known")),
        ("twins of it", _write_twins(trace)),
        ("not known", _write_unknown(trace)),
    ]
    return "\n\n".join("\n".join([name.upper(), *(f"  {line}" for line in lines)]) for name, lines in sections if lines)


def align(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of columns, at most `SHOWN_ROWS` and how many more there are."""
    lines = [list(header), *([escape_invisible(_tell(cell)) for cell in row] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    told = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    more = len(told) - 1 - SHOWN_ROWS
    return told if more <= 0 else [*told[: SHOWN_ROWS + 1], f"and {more} more (--json has them)"]


def _write_arrivals(trace: Trace) -> list[str]:
    if not trace.arrivals:
        return ["on no day that is stored" + (", but among the labelled pictures" if trace.labelled else "")]
    return align(
        ["day", "bytes", "changed (UTC)", "path"],
        (
            [row["day"], row["length"], row["modified_at"], row["path"] + _bracket(row["read_error"])]
            for row in trace.arrivals
        ),
    )


def _write_features(trace: Trace) -> list[str]:
    rows = trace.features or ([trace.side] if trace.side else [])
    if not rows:
        return ["none were made: its days have not got so far, or its bytes could not be read"]
    return align(
        ["day", "format", "pixels", "backbone", "why there are none"],
        ([r.get("day") or "training", r["format"], _pixels(r), _short(r["backbone"]), r["error"] or ""] for r in rows),
    )


def _pixels(row: Row) -> str:
    return f"{row['width']} x {row['height']}" if row["width"] else ""


def _write_answers(trace: Trace) -> list[str]:
    if not trace.answers:
        return ["none: it came on no day that was predicted"]
    return align(
        ["day", "label", "confidence", "decision", "classifier", "backbone", "path"],
        (
            [
                *(row["day"], row["predicted_label"], _share(row["confidence"])),
                row["decision"] + _bracket(row["error"]),
                *(row["classifier"], _short(row["backbone"]), row["path"]),
            ]
            for row in trace.answers
        ),
    )


def _write_reviews(trace: Trace) -> list[str]:
    if not trace.queued and not trace.reviews:
        return ["nobody was asked, and nobody answered"] if trace.answers else []
    asked = align(
        ["asked on", "because", "label then"], ([q["day"], q["reason"], q["predicted_label"]] for q in trace.queued)
    )
    answered = align(
        ["answered of", "label", "form", "not used because"],
        ([r["day"], r["label"], r["origin"], r["problem"] or ""] for r in trace.reviews),
    )
    return (asked if trace.queued else []) + (answered if trace.reviews else ["nobody answered"])


def _write_side(trace: Trace) -> list[str]:
    if not trace.labelled:
        return ["it is not among the labelled pictures"]
    side = trace.side or {}
    told = f"side {side.get('split') or LEFT_OUT}, label {_tell(side.get('label'))}" if side else "no features yet"
    files = align(["label", "told by", "path"], ([r["label"], r.get("origin"), r["path"]] for r in trace.labelled))
    return [escape_invisible(told), *files]


def _write_classifiers(trace: Trace) -> list[str]:
    lines: list[str] = []
    for each in trace.classifiers:
        if each.has_answered:
            lines += [_head(each), *(f"  {line}" for line in _write_making(each, trace))]
    return lines


def _write_making(classifier: ClassifierTrace, trace: Trace) -> list[str]:
    lines = [_tell_scores(classifier.report)] if classifier.report else []
    if classifier.list_place is None:
        return [*lines, "which pictures it learned from is not known"]
    lines.append(
        f"its {sum(row['file_count'] for row in classifier.counts)} files: {escape_invisible(classifier.list_place)}"
    )
    lines.append(_tell_membership(classifier, trace))
    return lines + align(["label", TRAIN, HOLDOUT, LEFT_OUT], _count_labels(classifier))


def _tell_scores(report: Row) -> str:
    interval = report.get("accuracy_interval")  # which former versions did not tell
    told = f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    return (
        f"accuracy {report['accuracy']:.3f}{told} on {report['holdout_count']} pictures, learned from"
        f" {report['train_count']}, features of {_short(report['backbone'])}"
    )


def _count_labels(classifier: ClassifierTrace) -> list[list[object]]:
    counts: dict[str, dict[str | None, int]] = {}
    for row in classifier.counts:
        counts.setdefault(row["label"], {})[row["split"]] = row["file_count"]
    return [[label, *(by.get(split, 0) for split in (TRAIN, HOLDOUT, None))] for label, by in sorted(counts.items())]


def _tell_membership(classifier: ClassifierTrace, trace: Trace) -> str:
    rows = classifier.saw([trace.image_id])
    if not rows:
        return "this picture was not in its training set"
    return escape_invisible(f"this picture was in its training set: {rows[0]['split']} as {_tell(rows[0]['label'])}")


def _write_seen(trace: Trace, image_ids: Sequence[str | None], none: str) -> list[str]:
    rows = [
        [each.version, each.state, each.stored_at, row["split"], row["label"], row["path"]]
        for each in trace.classifiers
        for row in each.saw(image_ids)
    ]
    return align(["classifier", "state", "stored (UTC)", "side", "label", "path"], rows) if rows else [none]


def _write_twins(trace: Trace) -> list[str]:
    if not trace.twins:
        return []
    pairs = align(
        ["twin", "of", "correlation"],
        (
            [_short(row["image_id"]), _short(row["near_duplicate_id"]), _share(row["correlation"])]
            for row in trace.twins
        ),
    )
    return [*pairs, "models that saw one of them:", *_write_seen(trace, trace.twin_ids, "none")]


def _write_unknown(trace: Trace) -> list[str]:
    if not trace.unknown:
        return []
    return [
        "what these classifiers learned from, for they were stored before that was written down, or are gone:",
        ", ".join(trace.unknown),
    ]


def _head(classifier: ClassifierTrace) -> str:
    stored = f", stored {_tell(classifier.stored_at)} UTC" if classifier.stored_at else ""
    return f"{classifier.version} ({classifier.state}{stored})"


def _bracket(text: str | None) -> str:
    return f" ({text})" if text else ""


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _short(digest: str | None) -> str:
    return (digest or "")[:_NAMES]


def _tell(cell: object) -> str:
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d %H:%M:%S}"
    return "-" if cell is None else str(cell)
