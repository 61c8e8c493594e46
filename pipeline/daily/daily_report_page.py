"""The page of a daily report: one HTML file that asks for nothing else, fits a desk, a phone and paper.

Whatever comes from strangers passes `_text`; all else are our own words and numbers.
"""

import html
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pipeline.daily.daily_report import DayReport
from pipeline.daily.daily_report_style import STYLE
from pipeline.daily.day_counts import BINS, USUAL_DAYS
from pipeline.daily.predictions import ANSWERED, REJECTED, REVIEW
from pipeline.reports.markdown import harmless

SHOWN_LABELS: Final = 20
POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_page(report: DayReport) -> str:
    """Writes the page of a day."""
    told = _write_day(report) if report.counts.file_count else _write_empty(report)
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Daylight {report.day}</title><style>{STYLE}</style>"
    )
    date_ = f"{report.day:%A}, {report.day.day} {report.day:%B %Y}"
    body = f"<header><p class='soft small'>Daylight, report of the day</p><h1>{date_}</h1></header>{told}"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def _write_empty(report: DayReport) -> str:
    usual = f" Usually {report.usual_files:,.0f} files come." if report.usual_files is not None else ""
    return _tag("p", f"No picture arrived on this day.{usual}", "lead")


def _write_day(report: DayReport) -> str:
    halves = (
        (_write_mix(report), _write_confidence(report) + _write_reasons(report)),
        (_write_models(report), _write_drift(report) + _write_cost(report)),
    )
    first, second = (f"<div class='halves'><div>{left}</div><div>{right}</div></div>" for left, right in halves)
    alarms = "".join(_tag("p", _text(alarm), "alarm") for alarm in report.alarms)
    return (
        _write_lead(report)
        + alarms
        + _write_tiles(report)
        + first
        + _write_queue(report)
        + _write_rejected(report)
        + second
    )


def _write_lead(report: DayReport) -> str:
    counts, queued = report.counts, sum(report.queued.values())
    share = counts.decisions.get(ANSWERED, 0) / counts.file_count
    told = f"{_count(counts.file_count, 'file')} arrived, and {share:.0%} were answered without a person."
    waits = f" {_count(queued, 'picture')} {'waits' if queued == 1 else 'wait'} for a person." if queued else ""
    return _tag("p", told + waits, "lead")


def _write_tiles(report: DayReport) -> str:
    counts, usual = report.counts, report.usual_files
    tiles = [_tile("files", counts.file_count, "", f"usually {usual:,.0f} a day" if usual is not None else "")]
    for name, decision, colour in (
        ("answered", ANSWERED, "good"),
        ("for review", REVIEW, "doubt"),
        ("rejected", REJECTED, "bad"),
    ):
        count, share = counts.decisions.get(decision, 0), report.usual_share(decision)
        told = f"{count / counts.file_count:.1%}" + (f", usually {share:.1%}" if share is not None else "")
        tiles.append(_tile(name, count, colour if count else "", told))
    return f"<div class='tiles'>{''.join(tiles)}</div>"


def _tile(name: str, count: int, colour: str, told: str) -> str:
    number = f"<b class='{colour}'>{count:,}</b>"
    return (
        f"<div class='tile'><span class='soft small'>{name}</span>{number}<span class='soft small'>{told}</span></div>"
    )


def _write_mix(report: DayReport) -> str:
    usual, labels = report.usual_mix(), report.counts.labels
    total = report.counts.answer_count
    if not total:
        return _section("What was seen", _tag("p", "No file could be answered.", "soft"))
    order = sorted({*labels, *usual}, key=lambda label: (-labels.get(label, 0), -usual.get(label, 0.0), label))
    shown = order[:SHOWN_LABELS]
    most = max([labels.get(label, 0) / total for label in shown] + [usual.get(label, 0.0) for label in shown])
    rows = "".join(_mix_row(label, labels.get(label, 0), total, usual.get(label), most) for label in shown)
    more = _tag("p", f"and {len(order) - len(shown)} more labels", "more soft small") if len(order) > len(shown) else ""
    told = (
        f"The line is the share in the {USUAL_DAYS} days before."
        if usual
        else "There are no days before to compare with."
    )
    return _section("What was seen", _tag("p", told, "soft small") + f"<div class='mix'>{rows}</div>{more}")


def _mix_row(label: str, count: int, total: int, usual: float | None, most: float) -> str:
    mark = f"<u style='left:calc({100 * usual / most:.1f}% - 1px)'></u>" if usual is not None else ""
    bar = f"<div class='track'><i style='width:{100 * count / total / most:.1f}%'></i>{mark}</div>"
    return f"<span>{_text(label)}</span>{bar}<span class='number small'>{count:,} · {count / total:.0%}</span>"


def _write_confidence(report: DayReport) -> str:
    if not any(report.confidences):
        return ""
    most = max(report.confidences)
    bars = "".join(
        f"<i style='height:{100 * count / most:.1f}%' title='from {number / BINS:.2f}: {count}'></i>"
        for number, count in enumerate(report.confidences)
    )
    ends = "<div class='ends soft small'><span>0</span><span>confidence of the answers</span><span>1</span></div>"
    return _section("How sure the answers are", f"<div class='bins'>{bars}</div>{ends}")


def _write_reasons(report: DayReport) -> str:
    if not report.counts.reasons:
        return ""
    order = sorted(report.counts.reasons.items(), key=lambda each: (-each[1], str(each[0])))
    rows = [[_text(reason), f"{count:,}"] for reason, count in order]
    return _section("Why files were rejected", _table(["reason", "files"], rows, ["", "number"]))


def _write_rejected(report: DayReport) -> str:
    if not report.rejected:
        return ""
    rows = [[_text(row["path"]), _text(row["error"])] for row in report.rejected]
    rest = sum(report.counts.reasons.values()) - len(rows)
    more = _tag("p", f"and {rest:,} more", "more soft small") if rest else ""
    return _section("Rejected files", _table(["file", "reason"], rows, ["", ""]) + more)


def _write_queue(report: DayReport) -> str:
    total = sum(report.queued.values())
    if not total:
        return _section("For a person to look at", _tag("p", "Nothing: the review queue of the day is empty.", "soft"))
    told = ", ".join(f"{count:,} {_text(reason)}" for reason, count in sorted(report.queued.items()))
    shown = [row for row in report.shown if row["image_id"] in report.images]
    cards = "".join(
        f"<figure><img alt='' src='data:image/jpeg;base64,{b64encode(report.images[row['image_id']]).decode()}'>"
        f"<figcaption>{_text(row['predicted_label'])} <span class='soft'>{row['confidence']:.0%}<br>"
        f"{_text(row['reason'])}</span></figcaption></figure>"
        for row in shown
    )
    rest = total - len(shown)
    more = _tag("p", f"and {rest:,} more in the review form of the day", "more soft small") if rest else ""
    return _section(
        "For a person to look at", _tag("p", told, "soft small") + f"<div class='cards'>{cards}</div>{more}"
    )


def _write_models(report: DayReport) -> str:
    rows = []
    for version, evaluation in report.evaluations.items():
        rows.append(["version", f"<code>{_text(version)}</code>"])
        rows += _list_scores(evaluation) if evaluation else [["", "no longer stored: how good it is, is not known"]]
    return _section("The classifier that answered", _facts(rows))


def _list_scores(evaluation: Mapping[str, Any]) -> list[list[str]]:
    low, high = evaluation.get("accuracy_interval", (None, None))
    interval = f" (95 % interval {low:.1%} to {high:.1%})" if low is not None else ""
    promised = evaluation.get("calibration", {}).get("promised_precision")
    return [
        ["right on pictures it never saw", f"{evaluation['accuracy']:.1%}{interval}"],
        ["held out", _count(evaluation["holdout_count"], "picture")],
        ["learned from", _count(evaluation["train_count"], "picture")],
        *([["promised of what it answers by itself", f"{promised:.0%} right"]] if promised else []),
    ]


def _write_drift(report: DayReport) -> str:
    rows = [["pictures", _text(report.drift.told)], *(["answers", _text(each.told)] for each in report.mix)]
    return _section("Is the day like the training set?", _facts(rows))


def _write_cost(report: DayReport) -> str:
    cost = report.cost
    if cost is None:
        return _section("What it cost", _tag("p", "Nobody noted what the features of this day took.", "soft"))
    rows = [
        ["newly embedded", _count(cost.embedded_count, "picture")],
        ["known from before", _count(cost.cached_count, "picture")],
    ]
    if cost.dollars is not None and cost.cpu_seconds is not None:
        dollars = f"${cost.dollars:,.2f}" if cost.dollars >= 0.01 else "less than a cent"
        rows.append(["computing", f"{cost.cpu_seconds:,.1f} CPU-seconds, {dollars}"])
    return _section("What it cost", _facts(rows))


def _facts(rows: Iterable[Sequence[str]]) -> str:
    return _table([], rows, ["key", ""])


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], styles: Sequence[str]) -> str:
    """A table of cells that are HTML already; columns are set as the styles say."""
    lines = [("th", header)] if header else []
    lines += [("td", row) for row in rows]
    cells = ("".join(map(_tag, [name] * len(line), line, styles)) for name, line in lines)
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>"


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>"


def _tag(name: str, content: str, style: str = "") -> str:
    return f"<{name} class='{style}'>{content}</{name}>"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _text(text: str | None) -> str:
    return html.escape(harmless(text or ""))
