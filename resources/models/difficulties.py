"""The difficulties of days: reads features and cross-fits, and lets `pipeline/daily/difficulty.py` estimate."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Final

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, PrivateAttr
from pyspark.sql import DataFrame, SparkSession

from pipeline.daily.day_samples import predict_samples
from pipeline.daily.difficulty import POOLED_DAYS, estimate_difficulty, list_pooled, select_audit
from pipeline.daily.difficulty_table import SCHEMA, Difficulty, read_difficulties
from pipeline.drift.clusters import find_clustered
from pipeline.drift.image_drift import DAY_LIMIT, compare_images, find_neighbourhoods, list_week
from pipeline.drift.reference import Reference
from pipeline.embed.quality import choose_flags
from pipeline.images.features import SCHEMA as FEATURES_SCHEMA
from pipeline.similarity.samples import sample_days, unpack_days
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.classifier import Classifier
from resources.lake.lake import Lake
from resources.models.references import find_reference, identify_reference
from resources.models.store import ModelStore

AUDITED: Final = ("day", "confidence", "label", "predicted_label", "audit_weight", "classifier", "problem")
DAYS_AT_ONCE: Final = 31  # estimated together; the driver holds the samples of these and of two weeks before them
AUDITS: Final = pa.schema({"day": pa.date32(), "confidence": pa.float64(), "is_right": pa.bool_()})


class Difficulties(dg.ConfigurableResource):
    """Estimates how hard days are for a classifier."""

    lake: Lake = Field(description="Lake with the features and the difficulties of days.")
    store: ModelStore = Field(description="Store with the cross-fits of the classifier.")
    review_flags: list[str] = Field(description="Quality flags whose images are not answered (DAYLIGHT_REVIEW_FLAGS).")

    _references: dict[str, Reference] = PrivateAttr(default_factory=dict)  # the last one, by its key

    def estimate(self, days: Sequence[str], classifier: Classifier) -> list[Difficulty]:
        """Estimates each day from its features, and from those of the days before a small one."""
        reference = self._reference
        return [
            each
            for first in range(0, len(days), DAYS_AT_ONCE)
            for each in self._estimate(days[first : first + DAYS_AT_ONCE], classifier, reference)
        ]

    def _estimate(self, days: Sequence[str], classifier: Classifier, reference: Reference) -> list[Difficulty]:
        wanted = [date.fromisoformat(day) for day in days]
        row_counts = _count_rows(self._read_features(list_window(wanted)))
        pooled = {each for day in wanted for each in list_pooled(day, row_counts) if row_counts[each]}
        weeks = {date.fromisoformat(each) for day in days for each in list_week(day)}
        flags = choose_flags(self.review_flags, reference.rare_flags)
        sampled = self._sample(sorted(pooled | weeks), classifier)
        spark = self.store.spark.spark_session
        own = {day: rows for day, rows in sampled.items() if date.fromisoformat(day) in pooled}
        samples = predict_samples(spark, own, classifier, flags)
        levels = self.store.read_cross_fits(classifier.version)
        labels = [] if classifier.is_of_sets else classifier.labels
        audits = read_audits(self.lake, spark, classifier.version, labels)
        compared = list(compare_images(days, unpack_days(sampled), classifier.backbone, reference))
        return [
            estimate_difficulty(
                *(day, row_counts, samples, classifier, levels, select_audit(audits, day)),
                comparisons=[each for each in compared if each.day == day],
                review_flags=flags,
            )
            for day in wanted
        ]

    def find(self, days: Sequence[str], classifier: Classifier) -> list[Difficulty]:
        """Reads the stored difficulties of days; estimates those that are not stored, or of other features."""
        spark = self.store.spark.spark_session
        flags = choose_flags(self.review_flags, self._reference.rare_flags)
        stored = read_difficulties(self.lake.read_known(spark, "difficulty", parse_schema(SCHEMA), days).read_small())
        row_counts = _count_rows(self._read_features([date.fromisoformat(day) for day in days]))
        found = {
            str(each.day): each
            for each in stored
            if (each.classifier, each.row_count) == (classifier.version, row_counts[each.day])
            and set(each.review_flags) == set(flags)
        }
        missing = [day for day in days if day not in found]
        found |= {str(each.day): each for each in (self.estimate(missing, classifier) if missing else ())}
        return [found[day] for day in days]

    def find_clustered(self, difficulties: Sequence[Difficulty], classifier: Classifier) -> pa.Table | DataFrame | None:
        """Finds the images of these days in a cluster unlike the training set; None without clusters."""
        comparisons = [comparison for each in difficulties for comparison in each.comparisons]
        days = sorted({each.day for each in comparisons if each.cluster_count is not None})
        if not days:
            return None
        samples = unpack_days(self._sample(days, classifier))
        neighbourhoods = find_neighbourhoods(comparisons, samples, self._reference)
        return find_clustered(self._read_features(days), neighbourhoods)

    def _sample(self, days: Sequence[date], classifier: Classifier) -> dict[str, pa.Table]:
        return sample_days(self._read_features(days), DAY_LIMIT, classifier.backbone, classifier.decoder)

    @property
    def _reference(self) -> Reference:
        key = identify_reference(self.lake)
        if key not in self._references:
            self._references = {key: find_reference(self.lake, self.store.spark.spark_session, key)}
        return self._references[key]

    def _read_features(self, days: Sequence[date]) -> StoredRows:
        spark = self.store.spark.spark_session
        return self.lake.read_known(spark, "image_features", parse_schema(FEATURES_SCHEMA), list(map(str, days)))


def read_audits(lake: Lake, spark: SparkSession, classifier: str, labels: Collection[str]) -> pa.Table:
    """Reads the labels that people gave to the audit samples of a classifier, in the columns of `AUDITS`.

    Without a Spark job, for they are few. Predictions that are none of its labels do not count: ancestors have
    thresholds of their own.
    """
    if lake.find(spark, "reviews") is None:
        return AUDITS.empty_table()
    rows = lake.read_arrow("reviews", None, AUDITED)
    own = (pc.field("classifier") == classifier) & pc.field("problem").is_null()
    audited = pc.field("audit_weight").is_valid() & pc.field("confidence").is_valid()
    found = rows.filter(own & audited & pc.field("predicted_label").isin(pa.array(list(labels), pa.string())))
    is_right = pc.equal(found["label"], found["predicted_label"])
    return pa.table([found["day"], found["confidence"], is_right], schema=AUDITS)


def list_window(days: Sequence[date]) -> list[date]:
    """Lists the days and those before them that an estimate may take images of."""
    before = (day - timedelta(days=ago) for day in days for ago in range(POOLED_DAYS))
    return sorted(set(before))


def _count_rows(features: StoredRows) -> Counter[date]:
    counts: Counter[date] = Counter()
    for file in features.files:
        if file.day is not None:
            counts[file.day] += file.row_count
    return counts
