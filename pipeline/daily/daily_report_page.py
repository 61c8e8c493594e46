"""The page of a daily report: one HTML file without scripts or external resources, for screens, phones and paper.

The layout is `daily_report.html.j2`, the style `daily_report.css`. Every string that the template prints is escaped.
"""

from base64 import b64encode
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.daily.daily_report import DayReport
from pipeline.daily.day_counts import USUAL_DAYS
from pipeline.daily.predictions import ANSWERED, REJECTED, REVIEW
from pipeline.daily.predictions_page import describe_earlier
from pipeline.reports import palette
from pipeline.reports.markdown import escape_invisible

SHOWN_LABELS: Final = 20
POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
COLOURS: Final = ("text", "muted", "pale", "bar", "good", "doubtful", "bad")


def render_page(report: DayReport, review_url: str = "", is_open: bool = False) -> str:
    """Renders the page of a day.

    Args:
        report: the day.
        review_url: address of the page that labels its images; without one there is no link.
        is_open: whether the day goes on, so that its numbers will change.
    """
    counts, usual = report.counts, report.usual_label_shares()
    shares = {label: count / counts.predicted_count for label, count in counts.labels.items()}
    order = sorted(shares | usual, key=lambda label: (-shares.get(label, 0.0), -usual.get(label, 0.0), label))
    labels = order[:SHOWN_LABELS]
    return render_template(
        "daily_report.html.j2",
        report=report,
        review_url=review_url,
        is_open=is_open,
        counts=counts,
        labels=labels,
        more_label_count=len(order) - len(labels),
        max_share=max((max(shares.get(label, 0.0), usual.get(label, 0.0)) for label in labels), default=1.0),
        shares=shares,
        usual=usual,
        reasons=sorted(counts.reasons.items(), key=lambda each: (-each[1], str(each[0]))),
        queued_count=sum(report.queued.values()),
        shown=[row for row in report.shown if row["image_id"] in report.images],
    )


def render_template(name: str, **values: object) -> str:
    """Renders a template of this folder; all strings are escaped."""
    return _ENVIRONMENT.get_template(name).render(**values)


def _show(value: object) -> object:
    """Makes invisible characters of untrusted text visible; the template's own markup stays."""
    return escape_invisible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def write_percent(share: float, digits: int = 0) -> str:
    """Writes a share in percent; one that is not whole is never rounded to all or nothing."""
    written, step = f"{share:.{digits}%}", 10.0 ** -(digits + 2)
    if 0 < share < step / 2:
        return f"below {step:.{digits}%}"
    return f"over {1 - step:.{digits}%}" if 1 - step / 2 <= share < 1 else written


_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_show,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "base64": lambda content: b64encode(content).decode(),
    "commas": "{:,.0f}".format,
    "earlier": describe_earlier,
    "length_percent": "{:.1%}".format,
    "percent": write_percent,
    "plural": _count,
}
_ENVIRONMENT.globals |= {"ANSWERED": ANSWERED, "REVIEW": REVIEW, "REJECTED": REJECTED, "usual_days": USUAL_DAYS}
_ENVIRONMENT.globals |= {"colours": {name: getattr(palette, name.upper()) for name in COLOURS}, "policy": POLICY}
