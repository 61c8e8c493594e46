"""Predictions: one row per file of a day, whatever became of it: answered, up for review, or rejected."""

from collections.abc import Callable
from typing import Final

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from pipeline.classifier import ANSWER_COLUMNS, Classifier, predict
from pipeline.contact_sheet import DOUBTFUL, GOOD, draw_contact_sheet, read_tiles
from pipeline.report import Report, count_by, markdown_table, only_row
from pipeline.schema import parse_schema

SCHEMA: Final = f"""
    day date comment 'the day on which the picture arrived, from images.day',
    image_id string comment 'SHA-256 of the bytes, from images.image_id; null where the file could not be read',
    path string comment 'path of the file below the folder of the day, from images.path', {ANSWER_COLUMNS},
    decision string comment 'answered, review (confidence below the threshold) or rejected (no features)',
    error string comment 'why the file was rejected, from image_features.error or images.read_error; else null',
    classifier string comment 'version of the classifier that answered',
    backbone string comment 'digest of the backbone that the classifier takes features of'
"""
ANSWERED: Final = "answered"
REVIEW: Final = "review"
REJECTED: Final = "rejected"
NO_FEATURES: Final = "no features"
"""The reason where the features of the day were made before the file came."""

REVIEW_BELOW: Final = 0.6
"""Confidence under which a person should look."""

SHEET_SIZE: Final = 24


def predict_images(images: DataFrame, image_features: DataFrame, classifier: Classifier) -> DataFrame:
    """Answers every file of the days given, lazily, in the columns of `SCHEMA`.

    Args:
        images: files of one day or more.
        image_features: of the same days; one row per distinct picture.
        classifier: of the same backbone as the features.

    Raises:
        SparkRuntimeException: when run, where the features are of another backbone.
    """
    files = images.select("day", "image_id", "path", "read_error")
    pictures = predict(image_features, classifier).select("day", "image_id", *_ANSWERS)
    errors = image_features.select("day", "image_id", F.col("error").alias("decode_error"))
    answered = files.join(errors, ["day", "image_id"], "left").join(pictures, ["day", "image_id"], "left")
    error = F.coalesce("read_error", "decode_error", F.when(F.col("confidence").isNull(), NO_FEATURES))
    decision = (
        F.when(F.col("confidence") >= REVIEW_BELOW, ANSWERED).when(F.col("confidence").isNotNull(), REVIEW)
    ).otherwise(REJECTED)
    return answered.select(
        *("day", "image_id", "path", *_ANSWERS),
        decision.alias("decision"),
        error.alias("error"),
        F.lit(classifier.version).alias("classifier"),
        F.lit(classifier.backbone).alias("backbone"),
    ).to(parse_schema(SCHEMA))


def describe_predictions(images: DataFrame) -> Callable[[DataFrame], Report]:
    """Counts by decision and by label, and a contact sheet of the day.

    Args:
        images: of the same days, for the pictures of the sheet.
    """

    def describe(predictions: DataFrame) -> Report:
        decisions = {row["decision"]: row["count"] for row in count_by(predictions, "decision")}
        answers = predictions.where("predicted_label is not null")
        summary = only_row(
            predictions.select(
                F.any_value("day").alias("day"),
                F.any_value("classifier").alias("classifier"),
                F.avg("confidence").alias("mean_confidence"),
            )
        )
        labels = [[row["predicted_label"], row["count"]] for row in count_by(answers, "predicted_label")]
        by_digest = answers.dropDuplicates(["day", "image_id"]).orderBy("image_id").limit(SHEET_SIZE)
        chosen = sorted(by_digest.collect(), key=lambda row: (row["predicted_label"], -row["confidence"]))
        tiles = read_tiles(images.where(F.col("day") == summary["day"]), chosen, caption)
        return Report(
            numbers={
                "answered_count": decisions.get(ANSWERED, 0),
                "review_count": decisions.get(REVIEW, 0),
                "rejected_count": decisions.get(REJECTED, 0),
                **({"mean_confidence": summary["mean_confidence"]} if tiles else {}),
            },
            texts={"classifier": summary["classifier"]},
            tables={"labels": markdown_table(["predicted label", "files"], labels)} if labels else {},
            pictures={"contact_sheet": draw_contact_sheet(tiles)} if tiles else {},
        )

    return describe


def caption(row: Row) -> tuple[str, str]:
    """Text and colour of a predicted picture on a contact sheet."""
    colour = GOOD if row["confidence"] >= REVIEW_BELOW else DOUBTFUL
    return f"{row['predicted_label']}\n{row['confidence']:.0%}", colour


_ANSWERS: Final = ("predicted_label", "confidence", "probabilities")
