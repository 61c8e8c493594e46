"""Label shift: compares the predicted labels of a day with those of the same classifier on the holdout.

A business may sell more shoes in spring: the images are of known kinds, and the shares of the labels change.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import numpy as np

from pipeline.drift.comparison import ALARM_AT, LABELS, MIN_COMPARED, MIN_MOVED_SHARE, Comparison
from pipeline.evaluation.ranked import OTHERS
from pipeline.reports.markdown import escape_markdown
from pipeline.reports.queries import Rows, has_column, query

PERMUTATION_COUNT: Final = 9_999
SEED: Final = 20260101
_COUNTS: Final = """
    SELECT day, classifier, if(level IS NULL, predicted_label, most_probable) AS label,
        count(DISTINCT image_id) AS count
    FROM (SELECT *, list_max([{'share': each.value, 'label': each.key}
        FOR each IN map_entries(probabilities) IF each.key <> $others]).label AS most_probable FROM predictions)
    WHERE predicted_label IS NOT NULL GROUP BY ALL ORDER BY ALL
"""
_COUNTS_WITHOUT_LEVELS: Final = """
    SELECT day, classifier, predicted_label AS label, count(DISTINCT image_id) AS count
    FROM predictions WHERE predicted_label IS NOT NULL GROUP BY ALL ORDER BY ALL
"""
"""Of predictions of an earlier version."""
MAX_LABELS: Final = 200  # cells of the test; of more labels, the rare ones are pooled


def compare_labels(
    days: Sequence[str], predictions: Rows, read_evaluation: Callable[[str], Mapping[str, Any] | None]
) -> Iterator[Comparison]:
    """Compares every day, once for each classifier that predicted it.

    Args:
        days: as YYYY-MM-DD.
        predictions: rows of the days.
        read_evaluation: reads `evaluation.json` of a version; None where it was deleted.
    """
    counts = _count_predictions(predictions)
    expected = {version: count_holdout_predictions(read_evaluation(version)) for _, version in counts}
    for (day, version), labels in counts.items():
        yield compare_label_counts(day, labels, expected[version], version)
    for day in sorted(set(days) - {day for day, _ in counts}):
        yield compare_label_counts(day, {}, {})


def _count_predictions(predictions: Rows) -> dict[tuple[str, str], dict[str, int]]:
    """Counts distinct images by day and version of the classifier, then by the most probable label."""
    sql = _COUNTS if has_column(predictions, "level") else _COUNTS_WITHOUT_LEVELS
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for row in query(sql, {"others": OTHERS} if sql is _COUNTS else {}, predictions=predictions):
        counts.setdefault((str(row["day"]), row["classifier"]), {})[row["label"]] = row["count"]
    return counts


def count_holdout_predictions(evaluation: Mapping[str, Any] | None) -> dict[str, int]:
    """Counts the predictions of each label on the holdout, from the confusion matrix in `evaluation.json`.

    Predictions are compared with predictions: against true labels the errors of the classifier would look like drift.
    """
    counts: Counter[str] = Counter()
    for predicted in evaluation["confusion"].values() if evaluation else ():
        counts.update(predicted)
    return counts


def compare_label_counts(
    day: str, counts: Mapping[str, int], expected: Mapping[str, int], classifier: str | None = None, seed: int = SEED
) -> Comparison:
    """Tests whether the predictions of a day and those on the holdout have the same distribution of labels.

    A permutation test of Pearson's chi-square statistic: rare labels need no approximation.

    Args:
        day: as YYYY-MM-DD.
        counts: images of the day by predicted label.
        expected: images of the holdout by predicted label.
        classifier: version that made the predictions.
        seed: seed of the permutations.
    """
    labels = sorted({*counts, *expected})
    found, before = (np.array([each.get(label, 0) for label in labels], np.int64) for each in (counts, expected))
    count, before_count = int(found.sum()), int(before.sum())
    when = date.fromisoformat(day)
    if min(count, before_count) < MIN_COMPARED:
        sample = "evaluation of the classifier" if count >= MIN_COMPARED else "day"
        kind = "holdout images" if count >= MIN_COMPARED else "predictions"
        reason = f"the {sample} has fewer than {MIN_COMPARED} {kind}"
        return Comparison(when, LABELS, f"not compared, {reason}", count, classifier)
    shares, expected_shares = found / count, before / before_count
    grown = int((shares - expected_shares).argmax())
    share, usual = f"{shares[grown]:.0%} of the predictions", f"{expected_shares[grown]:.0%} on the holdout"
    summary = f"{escape_markdown(labels[grown])} is {share}, {usual}"
    found, before = _pool(found, before)
    p_value, moved_share = _compute_p_value(found, before, seed), _measure_moved(found / count, before / before_count)
    is_alarm = p_value <= ALARM_AT[LABELS] and moved_share >= MIN_MOVED_SHARE
    return Comparison(when, LABELS, summary, count, classifier, p_value, moved_share=moved_share, is_alarm=is_alarm)


def _measure_moved(shares: np.ndarray, expected_shares: np.ndarray) -> float:
    return float(np.abs(shares - expected_shares).sum() / 2)


def _pool(found: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of more than `MAX_LABELS` labels, keeps half as many of the most frequent, and deals the others to groups.

    Rare labels say nothing one by one, and the permutations of 5,000 labels would take 400 MB.
    """
    if len(found) <= MAX_LABELS:
        return found, before
    falling = np.argsort(-(found + before), kind="stable")
    groups = np.empty(len(found), np.int64)
    groups[falling] = np.minimum(np.arange(len(found)), MAX_LABELS // 2 + np.arange(len(found)) % (MAX_LABELS // 2))
    pooled, pooled_before = (np.bincount(groups, each, MAX_LABELS).astype(np.int64) for each in (found, before))
    return pooled, pooled_before


def _compute_p_value(found: np.ndarray, before: np.ndarray, seed: int) -> float:
    """Computes the share of random permutations, the real one included, with a statistic at least as large."""
    total, count, random = found + before, int(found.sum()), np.random.default_rng(seed)
    permuted = random.multivariate_hypergeometric(total, count, PERMUTATION_COUNT, method="marginals")
    expected = total * count / total.sum()
    statistics = (((np.vstack([found, permuted]) - expected) ** 2) / expected).sum(axis=1)
    return float(np.mean(statistics >= statistics[0] - 1e-9))
