"""Day samples: confidences of a limited number of images of each day, on the driver."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from pipeline.storage.local_frames import open_table
from pipeline.training.classifier import Classifier
from pipeline.training.prediction import predict_features
from pipeline.training.softmax.answers import BLOCK_ROWS
from pipeline.training.softmax.head import SoftmaxHead, find_softmax_head


@dataclass(frozen=True)
class DaySample:
    """A random sample of the images of a day that have features; the same images give the same sample.

    Attributes:
        confidence: before calibration, float64 `[n]`; of a classifier of sets after it, as its cross-fits are.
        is_flagged: whether an image has one of the flags whose images are not answered, bool `[n]`.
        image_count: images of the day that have features.
    """

    confidence: np.ndarray
    is_flagged: np.ndarray
    image_count: int


def predict_samples(
    spark: SparkSession, samples: Mapping[str, pa.Table], classifier: Classifier, review_flags: Sequence[str] = ()
) -> dict[date, DaySample]:
    """Predicts the sampled images of each day.

    Bound: the driver holds the vectors of all days twice, 5 MB a day of 1,280 features.

    Args:
        spark: the session.
        samples: result of `sample_days`, for the backbone and decoder of the classifier.
        classifier: the classifier.
        review_flags: quality flags whose images are not answered.
    """
    if not samples:
        return {}
    features = pa.concat_tables(rows.select(["features"]) for rows in samples.values())
    head = find_softmax_head(classifier.model)
    confidence = _find_confidence(features["features"], head) if head else _ask_spark(spark, features, classifier)
    found, start, flags = {}, 0, set(review_flags)
    for day, rows in samples.items():
        is_flagged = np.array([not flags.isdisjoint(each or ()) for each in rows["quality_flags"].to_pylist()], bool)
        part = confidence[start : start + len(rows)]
        found[date.fromisoformat(day)] = DaySample(part, is_flagged, rows["day_count"][0].as_py())
        start += len(rows)
    return found


def _find_confidence(features: pa.ChunkedArray, head: SoftmaxHead) -> np.ndarray:
    parts = [features.slice(start, BLOCK_ROWS) for start in range(0, len(features), BLOCK_ROWS)]
    return np.concatenate([np.empty(0), *(head.predict(part).max(axis=1) for part in parts)])


def _ask_spark(spark: SparkSession, features: pa.Table, classifier: Classifier) -> np.ndarray:
    numbered = features.append_column("number", pa.array(range(len(features)), pa.int64()))
    predicted = predict_features(open_table(spark, numbered), classifier.model, temperatures=classifier.temperatures)
    found = predicted.select("number", "confidence").toArrow().sort_by("number")
    return np.asarray(found["confidence"].to_numpy())
