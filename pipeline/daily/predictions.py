"""Predictions: one row per file of a day, with the decision `answered`, `review` or `rejected`."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.daily.difficulty_table import Difficulty
from pipeline.daily.earlier_images import EARLIER_DAYS
from pipeline.daily.set_answers import COLUMNS, find_sets, list_thresholds
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.evaluation.hierarchy import SEPARATOR, list_depths
from pipeline.evaluation.ranked import TOP_LABELS
from pipeline.images.sidecar_files import SIDECAR
from pipeline.reports.contact_sheet import ImageRow, Tile, draw_contact_sheet, draw_tiles_by_day
from pipeline.reports.markdown import markdown_table
from pipeline.reports.palette import DOUBTFUL, GOOD
from pipeline.reports.queries import Record, Rows, by_day, query
from pipeline.reports.report import Number, Report
from pipeline.storage.counting import Day
from pipeline.storage.schema import parse_schema
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.classifier import PREDICTION_COLUMNS, Classifier, predict_at

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
SHOWN_LABELS: Final = 100  # most frequent ones on a page
_COUNTS: Final = """
    SELECT day, if(error = $sidecar, 'sidecar', decision) AS outcome, predicted_label, count(*) AS count,
        count(near_duplicate_of) AS near_duplicate_count, fsum(confidence) AS confidence,
        any_value(classifier) AS classifier, any_value(day_accuracy) AS day_accuracy
    FROM predictions GROUP BY day, outcome, predicted_label ORDER BY ALL
"""
_TILES: Final = """
    SELECT * FROM (
        SELECT day, image_id, predicted_label, any_value(confidence) AS confidence, any_value(decision) AS decision
        FROM predictions WHERE predicted_label IS NOT NULL GROUP BY day, image_id, predicted_label
        QUALIFY row_number() OVER (PARTITION BY day ORDER BY image_id) <= $tiles
    ) ORDER BY predicted_label, confidence DESC, image_id
"""
"""A sample of the predicted images of each day, by digest."""
_SETTINGS: Final = """
    temperature double, threshold double, ancestor_thresholds map<string, double>,
    label_thresholds map<string, double>, review_flags array<string>,
    day_accuracy double, day_accuracy_low double, day_accuracy_high double, day_level double
"""
_PREDICTED: Final = ("predicted_label", "confidence", "probabilities", "ancestors")


def predict_images(
    images: DataFrame,
    image_features: DataFrame,
    classifier: Classifier,
    difficulties: Sequence[Difficulty] | None = None,
    clustered: DataFrame | None = None,
    top_labels: int = TOP_LABELS,
    earlier: DataFrame | None = None,
) -> DataFrame:
    """Predicts every file, lazily, in the columns of `SCHEMA`, or of `SETS_SCHEMA` by a classifier of sets.

    Args:
        images: files of one or more days.
        image_features: their features; without `quality_flags` if an earlier version made them.
        classifier: the classifier.
        difficulties: of each day, with its temperature, its threshold and the quality flags whose images are not
            answered; by default all days have those of the classifier, and no flags.
        clustered: images that are not answered, however confident they are, in the columns of `clusters.SCHEMA`.
        top_labels: labels that `probabilities` lists, the most probable ones; the key `*` has the sum of the others.
        earlier: images that were sent before, in the columns of `earlier_images.SCHEMA`.

    Raises:
        SparkRuntimeException: when Spark runs it, if the features come from another backbone or decoder.
    """
    files = images.select("day", "image_id", "path", "read_error")
    settings = _look_up(difficulties, classifier)
    outcomes = _predict(image_features, classifier, settings["temperature"], top_labels)
    outcomes = outcomes.hint("merge")  # not a broadcast, whose errors reach Python as a trace of Java
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
    return predicted.union(images.where("features is null").select(*columns, *missing))


def _reaches_threshold(ancestor: Column) -> Column:
    return ancestor["confidence"] >= F.col("ancestor_thresholds")[ancestor["depth"].cast("string")]


def _look_up(difficulties: Sequence[Difficulty] | None, classifier: Classifier) -> Column:
    """What applies to the day of a row, in the columns of `_SETTINGS`; null for a day without difficulty."""
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


def describe_predictions(images: StoredRows, limits: Limits = DEFAULT_LIMITS) -> Callable[[Rows], dict[Day, Report]]:
    """Reports counts by decision (sidecar files apart) and label, and a contact sheet of `images`, for each day."""

    def describe(predictions: Rows) -> dict[Day, Report]:
        chosen = by_day(query(_TILES, {"tiles": SHEET_SIZE}, predictions=predictions))
        tiles = draw_tiles_by_day(images, chosen, caption, limits)
        counted = query(_COUNTS, {"sidecar": SIDECAR}, predictions=predictions)
        return {day: _report(rows, tiles.get(day, [])) for day, rows in by_day(counted).items()}

    return describe


def _report(counted: Sequence[Record], tiles: Sequence[Tile]) -> Report:
    """Reports a day, from its rows counted by outcome and predicted label."""
    counts, labels, sums = Counter[str](), Counter[str](), Counter[str]()
    for row in counted:
        counts[row["outcome"]] += row["count"]
        if row["predicted_label"] is not None:
            labels[row["predicted_label"]] += row["count"]
            sums[row["outcome"]] += row["confidence"]
    near_duplicate_count = sum(row["near_duplicate_count"] for row in counted)
    numbers: dict[str, Number] = {f"{each}_count": counts[each] for each in (ANSWERED, REVIEW, REJECTED, "sidecar")}
    if predicted_count := counts[ANSWERED] + counts[REVIEW]:
        numbers["coverage"] = counts[ANSWERED] / predicted_count
        numbers["mean_confidence"] = sums.total() / predicted_count
        if counts[ANSWERED]:
            numbers["expected_precision"] = sums[ANSWERED] / counts[ANSWERED]
    numbers["near_duplicate_count"] = near_duplicate_count
    promise = _describe_promise(counted[0]["day_accuracy"], numbers.get("coverage", 0))
    texts = {"classifier": counted[0]["classifier"], "promise": promise}
    if near_duplicate_count:
        texts["near_duplicates"] = f"{describe_earlier(near_duplicate_count)} (near_duplicate_of)"
    shown = sorted(labels.items(), key=lambda each: (-each[1], each[0]))[:SHOWN_LABELS]
    table = markdown_table(["predicted label", "files"], shown)
    return Report(
        numbers,
        texts,
        tables={"labels": table} if labels else {},
        images={"contact_sheet": draw_contact_sheet(tiles)} if tiles else {},
    )


def describe_earlier(count: int) -> str:
    """Says how many files of a day show images that were sent before."""
    files = "1 file is an image" if count == 1 else f"{count:,} files are images"
    return f"{files} of this day or the {EARLIER_DAYS} days before in another encoding or size"


def _describe_promise(accuracy: float | None, coverage: Number) -> str:
    if accuracy is None:
        return f"How hard the day is was not estimated; {coverage:.0%} are answered"
    return (
        f"About {accuracy:.0%} would be right if all were answered; {coverage:.0%} are answered, the rest waits for a"
        " person"
    )


def caption(row: ImageRow) -> tuple[str, str]:
    """Returns text and colour of a predicted image's caption on a contact sheet."""
    colour = GOOD if "decision" in row and row["decision"] == ANSWERED else DOUBTFUL
    return f"{row['predicted_label']}\n{row['confidence']:.0%}", colour
