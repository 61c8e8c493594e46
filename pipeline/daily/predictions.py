"""Predictions: one row per file of a day, with the decision `answered`, `review` or `rejected`."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from pipeline.daily.difficulty_table import Difficulty
from pipeline.daily.earlier_images import SCHEMA as EARLIER_SCHEMA
from pipeline.daily.set_answers import COLUMNS, LABELS, UNSURE
from pipeline.drift.clusters import SCHEMA as CLUSTERS_SCHEMA
from pipeline.evaluation.hierarchy import SEPARATOR, list_depths
from pipeline.evaluation.ranked import TOP_LABELS
from pipeline.images.features import SCHEMA as FEATURES_SCHEMA
from pipeline.images.label_sets import DENIAL
from pipeline.reports.portable_query import PortableQuery
from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.picked_rows import open_columns
from pipeline.storage.rows import LazyRows, SmallRows
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.classifier import PREDICTION_COLUMNS, Classifier, check_origins, predict_at
from pipeline.training.softmax.answers import predict_stored
from pipeline.training.softmax.head import find_softmax_head

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
_PREDICTED: Final = ("predicted_label", "confidence", "probabilities", "ancestors")
_SETTINGS: Final = """
    day date, threshold double, ancestor_thresholds map<int, double>, label_thresholds map<string, double>,
    review_flags array<string>, accuracy double, accuracy_low double, accuracy_high double, level double
"""
_NONE_CLUSTERED: Final = to_arrow_schema(parse_schema(CLUSTERS_SCHEMA)).empty_table()
_NONE_EARLIER: Final = to_arrow_schema(parse_schema(EARLIER_SCHEMA)).empty_table()
_DECIDED: Final = """
    WITH joined AS (
        SELECT files.day, files.image_id, files.path, outcomes.quality_flags, outcomes.predicted_label,
            outcomes.confidence, outcomes.probabilities, outcomes.ancestors, earlier.near_duplicate_of,
            settings.label_thresholds, settings.ancestor_thresholds,
            settings.accuracy, settings.accuracy_low, settings.accuracy_high, settings.level AS day_level,
            coalesce(files.read_error, outcomes.error,
                CASE WHEN outcomes.confidence IS NULL THEN $no_features END) AS error,
            clustered.image_id IS NOT NULL AS is_clustered,
            clustered.image_id IS NULL AND NOT coalesce(
                arrays_overlap(outcomes.quality_flags, settings.review_flags), false) AS is_allowed,
            CASE WHEN settings.threshold IS NOT NULL THEN greatest(
                settings.threshold, settings.label_thresholds[outcomes.predicted_label]) END AS threshold
        FROM {files} AS files
        LEFT JOIN {outcomes} AS outcomes ON outcomes.day = files.day AND outcomes.image_id = files.image_id
        LEFT JOIN {clustered} AS clustered ON clustered.day = files.day AND clustered.image_id = files.image_id
        LEFT JOIN {earlier} AS earlier ON earlier.day = files.day AND earlier.image_id = files.image_id
        LEFT JOIN {settings} AS settings ON settings.day = files.day
    ), answered AS (SELECT *[sets] FROM joined), judged AS (
        SELECT *, is_allowed AND [is_sure] AS is_answered, CASE WHEN is_allowed AND NOT [is_sure] THEN
            get(filter(ancestors, ancestor -> ancestor.confidence >= ancestor_thresholds[ancestor.depth]), 0)
            END AS broader
        FROM answered
    )
    SELECT day, image_id, path, coalesce(broader.label, predicted_label) AS predicted_label,
        coalesce(broader.confidence, confidence) AS confidence, probabilities,
        CASE WHEN is_answered OR broader IS NOT NULL THEN $answered
            WHEN confidence IS NOT NULL THEN $review ELSE $rejected END AS decision,
        error, $classifier AS classifier, $backbone AS backbone, quality_flags,
        coalesce(ancestor_thresholds[broader.depth], [threshold]) AS threshold, accuracy AS day_accuracy,
        accuracy_low AS day_accuracy_low, accuracy_high AS day_accuracy_high, day_level, is_clustered,
        CASE WHEN $has_paths THEN array_size(split(coalesce(broader.label, predicted_label), $separator)) END AS level,
        near_duplicate_of[columns]
    FROM judged
"""
_ONE_LABEL: Final = {
    "sets": "",
    "is_sure": "coalesce(confidence >= threshold, false)",
    "threshold": "threshold",
    "columns": "",
}
_SETS: Final = {
    "sets": f", {LABELS} AS labels, {UNSURE} AS unsure",
    "is_sure": "array_size(unsure) = 0",
    "threshold": "CAST(NULL AS double)",
    "columns": ", labels, unsure",
}
"""Parts of `_DECIDED`."""


def predict_images(
    images: StoredRows,
    image_features: StoredRows,
    classifier: Classifier,
    difficulties: Sequence[Difficulty],
    clustered: pa.Table | DataFrame | None = None,
    top_labels: int = TOP_LABELS,
    earlier: pa.Table | DataFrame | None = None,
) -> SmallRows | LazyRows:
    """Predicts every file in the columns of `SCHEMA`, or of `SETS_SCHEMA` by a classifier of sets.

    The driver predicts few files itself, unless only MLlib can. Vectors do not pass through the JVM for others either.

    Args:
        images: files of one or more days.
        image_features: their features; without `quality_flags` if an earlier version made them.
        classifier: the classifier.
        difficulties: of each day, with its temperature, its threshold and the quality flags whose images are not
            answered.
        clustered: images that are not answered, however confident they are, in the columns of `clusters.SCHEMA`.
        top_labels: labels that `probabilities` lists, the most probable ones; the key `*` has the sum of the others.
        earlier: images that were sent before, in the columns of `earlier_images.SCHEMA`.

    Raises:
        ForeignFeaturesError: if features come from another backbone or decoder.
    """
    check_origins(image_features, classifier)
    return _plan(classifier).run(
        images.spark,
        files=open_columns(images, ("day", "image_id", "path", "read_error")),
        outcomes=_predict(image_features, classifier, difficulties, top_labels),
        clustered=_NONE_CLUSTERED if clustered is None else clustered,
        earlier=_NONE_EARLIER if earlier is None else earlier,
        settings=pa.Table.from_pylist(list(map(_settle, difficulties)), to_arrow_schema(parse_schema(_SETTINGS))),
    )


def _settle(day: Difficulty) -> Mapping[str, object]:
    maps = {name: list(getattr(day, name).items()) for name in ("ancestor_thresholds", "label_thresholds")}
    return {**vars(day), **maps, "level": day.level}


def _plan(classifier: Classifier) -> PortableQuery:
    sql, parts, schema = _DECIDED, _ONE_LABEL, SCHEMA
    parameters = {
        **{"no_features": NO_FEATURES, "answered": ANSWERED, "review": REVIEW, "rejected": REJECTED},
        **{"classifier": classifier.version, "backbone": classifier.backbone},
        **{"has_paths": bool(list_depths(classifier.labels)), "separator": SEPARATOR},
    }
    if classifier.is_of_sets:
        parts, schema = _SETS, SETS_SCHEMA
        parameters |= {"labels": classifier.labels, "denial": DENIAL}
    for name, part in parts.items():
        sql = sql.replace(f"[{name}]", part)
    return PortableQuery(sql, parse_schema(schema), parameters)


def _predict(
    image_features: StoredRows, classifier: Classifier, difficulties: Sequence[Difficulty], top_labels: int
) -> pa.Table | DataFrame:
    """What is known of every image: its prediction, or why it has no features."""
    kept, schema = ("day", "image_id", "error", "quality_flags"), parse_schema(FEATURES_SCHEMA)
    temperatures = {each.day: each.temperature for each in difficulties}
    features = image_features.narrow(StructType([schema[name] for name in (*kept, "features", "backbone", "decoder")]))
    if softmax := find_softmax_head(classifier.model):
        return predict_stored(features, kept, softmax, temperatures, top_labels)
    temperature = F.create_map(*map(F.lit, chain.from_iterable(temperatures.items())))[F.col("day")]
    predicted = predict_at(features.frame, classifier, temperature, top_labels).select(*kept, *_PREDICTED)
    types = {name: predicted.schema[name].dataType for name in _PREDICTED}
    missing = [F.lit(None).cast(kind).alias(name) for name, kind in types.items()]
    return predicted.union(features.frame.where("features is null").select(*kept, *missing))
