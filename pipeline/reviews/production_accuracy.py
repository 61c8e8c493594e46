"""Production accuracy, estimated from the labelled audit samples: over all days, by day and by classifier."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.evaluation.hierarchy import is_right
from pipeline.reports.markdown import markdown_table
from pipeline.reports.report import Number, Report
from pipeline.reviews.audit import Stratum, estimate_accuracy

SHOWN_DAYS: Final = 14


@dataclass(frozen=True)
class _Audit:
    """The sample of a day, or the part predicted by one of its classifiers."""

    day: date
    classifier: str | None
    drawn_count: int
    stratum: Stratum


def describe_accuracy(reviews: DataFrame, review_queue: DataFrame) -> Report:
    """Reports the accuracy over all days with answers, and the share of the sample that was labelled.

    Args:
        reviews: rows in the columns of `reviews.SCHEMA`.
        review_queue: queue of all days, with or without answers.
    """
    audits = _collect_audits(reviews, review_queue)
    answered = [each for each in audits if each.stratum.answered_count]
    numbers: dict[str, Number] = {
        "audited_count": sum(each.stratum.answered_count for each in answered),
        "audited_day_count": len({each.day for each in answered}),
        "unanswered_day_count": len({each.day for each in audits} - {each.day for each in answered}),
    }
    accuracy = estimate_accuracy([each.stratum for each in answered])
    if accuracy is None:
        return Report(numbers)
    drawn = {each.day: each.drawn_count for each in answered}
    numbers |= {
        "production_accuracy": accuracy.share,
        "production_accuracy_low": accuracy.low,
        "production_accuracy_high": accuracy.high,
        "response_share": numbers["audited_count"] / sum(drawn.values()),
    }
    by_day = {str(day): [each for each in answered if each.day == day] for day in sorted(drawn)[-SHOWN_DAYS:]}
    versions = list(dict.fromkeys(each.classifier for each in answered))[-SHOWN_DAYS:]
    by_classifier = {str(name)[:12]: [each for each in answered if each.classifier == name] for name in versions}
    tables = {"accuracy_by_day": _table("day", by_day), "accuracy_by_classifier": _table("classifier", by_classifier)}
    return Report(numbers, tables=tables)


def _collect_audits(reviews: DataFrame, review_queue: DataFrame) -> list[_Audit]:
    """Collects one audit per day and classifier; a day's images are divided in proportion to the answers."""
    answers = reviews.where("problem is null and audit_weight is not null").groupBy("day", "classifier")
    is_correct = is_right(F.col("label"), F.col("predicted_label"))
    counted = answers.agg(F.count("*").alias("answered"), F.count_if(is_correct).alias("correct"))
    samples = review_queue.where(F.col("audit_weight").isNotNull()).groupBy("day")
    drawn = samples.agg(F.count("*").alias("drawn"), F.sum("audit_weight").alias("images"))
    rows = drawn.join(counted, "day", "left").fillna(0).orderBy("day", "classifier").collect()
    answered_counts: Counter[date] = Counter()
    for row in rows:
        answered_counts[row["day"]] += row["answered"]
    audits = []
    for row in rows:
        part = row["answered"] / answered_counts[row["day"]] if row["answered"] else 1.0
        stratum = Stratum(row["images"] * part, row["answered"], row["correct"])
        audits.append(_Audit(row["day"], row["classifier"], row["drawn"], stratum))
    return audits


def _table(title: str, audits: Mapping[str, Sequence[_Audit]]) -> str:
    """Returns a row per group with its accuracy and 95 % interval."""
    rows = []
    for name, group in audits.items():
        strata = [each.stratum for each in group]
        accuracy = estimate_accuracy(strata)
        shares = (accuracy.share, accuracy.low, accuracy.high) if accuracy else ()
        image_count = round(sum(each.image_count for each in strata))
        drawn = {each.day: each.drawn_count for each in group}
        answered_count = sum(each.answered_count for each in strata)
        rows.append([name, image_count, sum(drawn.values()), answered_count, *(f"{share:.1%}" for share in shares)])
    return markdown_table([title, "images", "drawn", "labelled", "accuracy", "low", "high"], rows)
