"""Predictions: one row per file of a day, with the decision `answered`, `review` or `rejected`."""

import json
from collections.abc import Sequence
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.daily.difficulty_table import Difficulty
from pipeline.daily.set_answers import COLUMNS, find_sets, list_thresholds
from pipeline.evaluation.hierarchy import SEPARATOR, list_depths
from pipeline.evaluation.ranked import TOP_LABELS
from pipeline.reports.queries import has_column
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.picked_rows import open_columns
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.classifier import PREDICTION_COLUMNS, Classifier, check_origins, predict_at
from pipeline.training.softmax.answers import predict_stored
from pipeline.training.softmax.head import SoftmaxHead, find_softmax_head

SCHEMA: Final = f"""
    day date comment 'day the image arrived, from images.day',
    image_id string comment 'SHA-256 of the bytes, from images.image_id; null where the file could not be read',
    path string comment 'path of the file below the folder of the day, from images.path', {PREDICTION_COLUMNS},
    decision string comment 'answered, review (confidence below the threshold) or rejected (no features)',
    error string comment 'why the file was rejected, from image_features.error or images.read_error; else null',
    classifier string comment 'version of the classifier, from difficulty.classifier',
    backbone string comment 'digest of the backbone of the classifier and the features, from image_features.backbone',
    quality_flags array<string> comment 'what is wrong with the image, from image_features.quality_flags',
    threshold double comment 'minimum confidence of an answer with this label,
        from difficulty.threshold or difficulty.label_thresholds; null if there is none',
    day_accuracy double comment 'estimated share of right predictions on the day, from difficulty.accuracy',
    day_accuracy_low double comment 'lower end of its 95 % interval, from difficulty.accuracy_low',
    day_accuracy_high double comment 'upper end of its 95 % interval, from difficulty.accuracy_high',
    day_level double comment 'hardness of the day: number of the cross-fit that is as hard, 0 for random folds',
    is_clustered boolean comment 'whether the image belongs to a cluster of the day unlike the training set, perhaps a
        class never seen, and is therefore not answered',
    level int comment 'number of names in predicted_label, for labels that are paths: an image that is not sure enough
        for a label is answered with an ancestor; null for flat labels',
    near_duplicate_of string comment 'image_id of the first image that was the same shot in another encoding or size,
        on this day or the 31 days before, from image_features.miniature; null where there was none'
"""
SETS_SCHEMA: Final = f"{SCHEMA}, {COLUMNS}"
ANSWERED: Final = "answered"
REVIEW: Final = "review"
REJECTED: Final = "rejected"
NO_FEATURES: Final = "no features"  # the file arrived after the features of its day were made
SHEET_SIZE: Final = 24  # images on a contact sheet
_FILES: Final = ("day", "image_id", "path", "read_error")
_PREDICTED: Final = ("predicted_label", "confidence", "probabilities", "ancestors")
_SETTINGS: Final = """
    temperature double, threshold double, ancestor_thresholds map<string, double>,
    label_thresholds map<string, double>, review_flags array<string>,
    day_accuracy double, day_accuracy_low double, day_accuracy_high double, day_level double
"""


def predict_images(
    images: DataFrame | StoredRows,
    image_features: DataFrame | StoredRows,
    classifier: Classifier,
    difficulties: Sequence[Difficulty] | None = None,
    clustered: DataFrame | None = None,
    top_labels: int = TOP_LABELS,
    earlier: DataFrame | None = None,
) -> DataFrame:
    """Predicts every file in the columns of `SCHEMA`, or of `SETS_SCHEMA` by a classifier of sets.

    Args:
        images: files of one or more days.
        image_features: their features; without `quality_flags` if an earlier version made them. Vectors of stored ones
            do not pass through the JVM, unless only MLlib can predict.
        classifier: the classifier.
        difficulties: of each day, with its temperature, its threshold and the quality flags whose images are not
            answered; by default all days have those of the classifier, and no flags.
        clustered: images that are not answered, however confident they are, in the columns of `clusters.SCHEMA`.
        top_labels: labels that `probabilities` lists, the most probable ones; the key `*` has the sum of the others.
        earlier: images that were sent before, in the columns of `earlier_images.SCHEMA`.

    Raises:
        ForeignFeaturesError: immediately, if stored features come from another backbone or decoder.
        SparkRuntimeException: when Spark runs it, if those of a frame do.
    """
    files = open_columns(images, _FILES) if isinstance(images, StoredRows) else images.select(*_FILES)
    settings = _look_up(difficulties, classifier)
    softmax = find_softmax_head(classifier.model)
    if softmax and isinstance(image_features, StoredRows):
        outcomes = _predict_stored(image_features, classifier, softmax, difficulties, top_labels)
    else:
        frame = image_features.frame if isinstance(image_features, StoredRows) else image_features
        outcomes = _predict(frame, classifier, settings["temperature"], top_labels)
    joined = files.join(outcomes, ["day", "image_id"], "left").withColumn("settings", settings)
    joined = joined.select("*", "settings.*")
    error = F.coalesce("read_error", "decode_error", F.when(F.col("confidence").isNull(), NO_FEATURES))
    is_clustered = F.lit(False)
    if clustered is not None:
        joined = joined.join(clustered.withColumn("clustered", F.lit(True)), ["day", "image_id"], "left")
        is_clustered = F.coalesce("clustered", F.lit(False))
    near_duplicate = F.lit(None).cast("string")
    if earlier is not None:
        joined = joined.join(earlier, ["day", "image_id"], "left")
        near_duplicate = F.col("near_duplicate_of")
    is_poor = F.arrays_overlap("quality_flags", "review_flags")
    is_allowed = ~is_clustered & ~F.coalesce(is_poor, F.lit(False))
    higher = F.greatest("threshold", F.col("label_thresholds")[F.col("predicted_label")])
    threshold = F.when(F.col("threshold").isNotNull(), higher)
    is_sure = F.coalesce(F.col("confidence") >= threshold, F.lit(False))
    sets = find_sets(classifier.labels, is_allowed) if classifier.is_of_sets else {}
    if sets:
        threshold, is_sure = F.lit(None).cast("double"), F.size(sets["unsure"]) == 0
    broader = F.get(F.filter("ancestors", _reaches_threshold), 0)
    answered = joined.withColumns(
        {
            "is_clustered": is_clustered,
            "error": error,
            "broader": F.when(is_allowed & ~is_sure, broader),
            "is_answered": is_allowed & is_sure,
            **sets,
        }
    )
    decision = F.when(F.col("is_answered") | F.col("broader").isNotNull(), ANSWERED)
    label = F.coalesce("broader.label", "predicted_label")
    has_paths = bool(list_depths(classifier.labels))
    return answered.select(
        *("day", "image_id", "path"),
        label.alias("predicted_label"),
        F.coalesce("broader.confidence", "confidence").alias("confidence"),
        "probabilities",
        decision.when(F.col("confidence").isNotNull(), REVIEW).otherwise(REJECTED).alias("decision"),
        "error",
        F.lit(classifier.version).alias("classifier"),
        F.lit(classifier.backbone).alias("backbone"),
        "quality_flags",
        F.coalesce(F.col("ancestor_thresholds")[F.col("broader.depth").cast("string")], threshold).alias("threshold"),
        *("day_accuracy", "day_accuracy_low", "day_accuracy_high", "day_level", "is_clustered"),
        (F.size(F.split(label, SEPARATOR)) if has_paths else F.lit(None)).cast("int").alias("level"),
        near_duplicate.alias("near_duplicate_of"),
        *sets,
    ).to(parse_schema(SETS_SCHEMA if sets else SCHEMA))


def _predict(image_features: DataFrame, classifier: Classifier, temperature: Column, top_labels: int) -> DataFrame:
    """What is known of every image, lazily: its prediction, or why it has no features."""
    flags = F.col("quality_flags") if "quality_flags" in image_features.columns else F.lit(None)
    images = image_features.withColumns({"quality_flags": flags.cast("array<string>"), "temperature": temperature})
    columns = [F.col("day"), F.col("image_id"), F.col("error").alias("decode_error"), F.col("quality_flags")]
    predicted = predict_at(images, classifier, F.col("temperature"), top_labels).select(
        *columns, *map(F.col, _PREDICTED)
    )
    types = {name: predicted.schema[name].dataType for name in _PREDICTED}
    missing = [F.lit(None).cast(kind).alias(name) for name, kind in types.items()]
    outcomes = predicted.union(images.where("features is null").select(*columns, *missing))
    return outcomes.hint("merge")  # not a broadcast, whose errors reach Python as a trace of Java


def _predict_stored(
    image_features: StoredRows,
    classifier: Classifier,
    softmax: SoftmaxHead,
    difficulties: Sequence[Difficulty] | None,
    top_labels: int,
) -> DataFrame:
    """Like `_predict`, of stored rows."""
    check_origins(image_features, classifier)
    temperatures = {each.day: each.temperature for each in difficulties or ()}
    columns = [name for name in ("day", "image_id", "error", "quality_flags") if has_column(image_features, name)]
    own = classifier.calibration.temperature if difficulties is None else temperatures
    outcomes = predict_stored(image_features, columns, softmax, own, top_labels)
    if "quality_flags" not in columns:
        outcomes = outcomes.withColumn("quality_flags", F.lit(None).cast("array<string>"))
    return outcomes.withColumnRenamed("error", "decode_error")


def _reaches_threshold(ancestor: Column) -> Column:
    return ancestor["confidence"] >= F.col("ancestor_thresholds")[ancestor["depth"].cast("string")]


def _look_up(difficulties: Sequence[Difficulty] | None, classifier: Classifier) -> Column:
    """What applies to the day of a row, in the columns of `_SETTINGS`; every day has a difficulty."""
    if difficulties is None:
        own = {
            "temperature": classifier.calibration.temperature,
            "threshold": classifier.calibration.threshold,
            "label_thresholds": list_thresholds(classifier.report) if classifier.is_of_sets else None,
        }
        return F.from_json(F.lit(json.dumps(own)), _SETTINGS, {"mode": "FAILFAST"})
    by_day = {
        str(each.day): {
            "temperature": each.temperature,
            "threshold": each.threshold,
            "ancestor_thresholds": each.ancestor_thresholds,
            "label_thresholds": each.label_thresholds,
            "review_flags": each.review_flags,
            "day_accuracy": each.accuracy,
            "day_accuracy_low": each.accuracy_low,
            "day_accuracy_high": each.accuracy_high,
            "day_level": each.level,
        }
        for each in difficulties
    }
    known = F.from_json(F.lit(json.dumps(by_day)), f"map<string, struct<{_SETTINGS}>>", {"mode": "FAILFAST"})
    return known[F.col("day").cast("string")]
