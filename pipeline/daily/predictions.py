"""Predictions: one row per file of a day, whatever became of it: answered, up for review, or rejected."""

from collections.abc import Callable, Sequence
from typing import Final

from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from pipeline.reports.contact_sheet import Tile, draw_contact_sheet, read_tiles_by_day
from pipeline.reports.markdown import markdown_table
from pipeline.reports.palette import DOUBTFUL, GOOD
from pipeline.reports.report import Report
from pipeline.storage.counting import Day, by_day, count_by_day
from pipeline.storage.schema import parse_schema
from pipeline.training.classifier import PREDICTION_COLUMNS, Classifier, predict

SCHEMA: Final = f"""
    day date comment 'the day on which the picture arrived, from images.day',
    image_id string comment 'SHA-256 of the bytes, from images.image_id; null where the file could not be read',
    path string comment 'path of the file below the folder of the day, from images.path', {PREDICTION_COLUMNS},
    decision string comment 'answered, review (confidence below the threshold) or rejected (no features)',
    error string comment 'why the file was rejected, from image_features.error or images.read_error; else null',
    classifier string comment 'version of the classifier that answered',
    backbone string comment 'digest of the backbone of the classifier and the features, from image_features.backbone'
"""
ANSWERED: Final = "answered"
REVIEW: Final = "review"
REJECTED: Final = "rejected"
NO_FEATURES: Final = "no features"
"""The reason where the features of the day were made before the file came."""

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
    is_sure = F.col("confidence") >= F.lit(classifier.calibration.threshold)  # null, so never true, without one
    decision = F.when(is_sure, ANSWERED).when(F.col("confidence").isNotNull(), REVIEW).otherwise(REJECTED)
    return answered.select(
        *("day", "image_id", "path", *_ANSWERS),
        decision.alias("decision"),
        error.alias("error"),
        F.lit(classifier.version).alias("classifier"),
        F.lit(classifier.backbone).alias("backbone"),
    ).to(parse_schema(SCHEMA))


def describe_predictions(images: DataFrame) -> Callable[[DataFrame], dict[Day, Report]]:
    """Counts by decision and by label, and a contact sheet, of every day.

    Args:
        images: of the same days, for the pictures of the sheet.
    """

    def describe(predictions: DataFrame) -> dict[Day, Report]:
        answers = predictions.where("predicted_label is not null")
        decisions, labels = count_by_day(predictions, "decision"), count_by_day(answers, "predicted_label")
        tiles = read_tiles_by_day(images, _choose_tiles(answers), caption)
        summaries = predictions.groupBy("day").agg(
            F.any_value("classifier").alias("classifier"),
            F.avg("confidence").alias("mean_confidence"),
            F.avg(F.when(F.col("decision") == ANSWERED, F.col("confidence"))).alias("expected_precision"),
        )
        return {
            row["day"]: _tell(row, decisions[row["day"]], labels.get(row["day"], []), tiles.get(row["day"], []))
            for row in summaries.collect()
        }

    return describe


def _choose_tiles(answers: DataFrame) -> dict[Day, list[Row]]:
    """At most `SHEET_SIZE` pictures of every day, told from their digests; labels together, the surest first."""
    rank = F.row_number().over(Window.partitionBy("day").orderBy("image_id"))
    first = answers.dropDuplicates(["day", "image_id"]).withColumn("rank", rank).where(F.col("rank") <= SHEET_SIZE)
    return by_day(sorted(first.collect(), key=lambda row: (row["predicted_label"], -row["confidence"])))


def _tell(summary: Row, decisions: Sequence[Row], labels: Sequence[Row], tiles: Sequence[Tile]) -> Report:
    counts = {row["decision"]: row["count"] for row in decisions}
    answered, review = counts.get(ANSWERED, 0), counts.get(REVIEW, 0)
    shares = {
        "coverage": answered / max(1, answered + review),
        "mean_confidence": summary["mean_confidence"],
        "expected_precision": summary["expected_precision"],
    }
    table = markdown_table(["predicted label", "files"], [[row["predicted_label"], row["count"]] for row in labels])
    return Report(
        numbers={
            "answered_count": answered,
            "review_count": review,
            "rejected_count": counts.get(REJECTED, 0),
            **{name: share for name, share in shares.items() if share is not None and answered + review},
        },
        texts={"classifier": summary["classifier"]},
        tables={"labels": table} if labels else {},
        images={"contact_sheet": draw_contact_sheet(tiles)} if tiles else {},
    )


def caption(row: Row) -> tuple[str, str]:
    """Text and colour of a predicted image on a contact sheet."""
    colour = GOOD if "decision" in row and row["decision"] == ANSWERED else DOUBTFUL
    return f"{row['predicted_label']}\n{row['confidence']:.0%}", colour


_ANSWERS: Final = ("predicted_label", "confidence", "probabilities")
