"""Label issues: labels that are likely wrong, worst first, told by classifiers that did not learn them.

A picture filed under two labels, or whose near-duplicate is, has a wrong one for sure, and stands before all others.
The rest is ranked by how much less probable its label is than another (the margin of confident learning, Northcutt et
al. 2021, arXiv:1911.00068).
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.reports.contact_sheet import draw_contact_sheet, read_tiles
from pipeline.reports.markdown import markdown_table
from pipeline.reports.palette import DOUBTFUL
from pipeline.reports.report import Report
from pipeline.storage.counting import count_by
from pipeline.storage.schema import parse_schema

SCHEMA: Final = """
    rank int comment '1 for the label that is most likely wrong',
    image_id string comment 'from training_images.image_id',
    path string comment 'from training_images.path',
    label string comment 'from training_images.label',
    suggested_label string comment 'the most probable other label, or that of a near-duplicate',
    margin double comment 'probability of the label less that of the best other one; null where there is no answer',
    reason string comment 'conflict (it or a near-duplicate is filed under another label), disagreement or agreement'
"""
CONFLICT: Final = "conflict"
DISAGREEMENT: Final = "disagreement"
AGREEMENT: Final = "agreement"
SHEET_SIZE: Final = 24


def rank_labels(training_images: DataFrame, twins: DataFrame, answers: Sequence[LabelledPredictions]) -> DataFrame:
    """Ranks the labels of all labelled files, in the columns of `SCHEMA`.

    Args:
        training_images: with `image_id`, `path` and `label`.
        twins: pairs of near-duplicates, `image_id` and `near_duplicate_id`.
        answers: calibrated, of classifiers that did not learn the labels of these pictures.
    """
    files = training_images.where(F.col("image_id").isNotNull()).select("image_id", "path", "label")
    margins = files.sparkSession.createDataFrame(pa.concat_tables([_tell_margins(each) for each in answers]))
    doubted = files.join(margins, "image_id", "left").join(_find_conflicts(files, twins), ["image_id", "label"], "left")
    reason = F.when(F.col("other").isNotNull(), CONFLICT).when(F.col("margin") < 0, DISAGREEMENT).otherwise(AGREEMENT)
    order = [(F.col("reason") != CONFLICT), F.coalesce("margin", F.lit(0.0)), F.col("image_id"), F.col("path")]
    ranked = doubted.withColumn("reason", reason).withColumn("rank", F.row_number().over(Window.orderBy(*order)))
    suggested = F.coalesce("other", "suggested_label").alias("suggested_label")
    return ranked.select("rank", "image_id", "path", "label", suggested, "margin", "reason").to(parse_schema(SCHEMA))


def describe_label_issues(training_images: DataFrame) -> Callable[[DataFrame], Report]:
    """Counts by reason, and the worst as a contact sheet.

    Args:
        training_images: for the pictures of the sheet.
    """

    def describe(label_issues: DataFrame) -> Report:
        counts = {row["reason"]: row["count"] for row in count_by(label_issues, "reason")}
        doubtful = label_issues.where(F.col("reason") != AGREEMENT)
        worst = doubtful.orderBy("rank").limit(SHEET_SIZE).collect()
        pairs = [
            [row["label"], row["suggested_label"], row["count"]]
            for row in count_by(doubtful, "label", "suggested_label")
        ]
        tiles = read_tiles(training_images, worst, _caption)
        return Report(
            numbers={f"{reason}_count": counts.get(reason, 0) for reason in (CONFLICT, DISAGREEMENT)},
            tables={"confused_labels": markdown_table(["label", "suggested", "files"], pairs[:20])} if pairs else {},
            images={"worst_labels": draw_contact_sheet(tiles)} if tiles else {},
        )

    return describe


def _tell_margins(answers: LabelledPredictions) -> pa.Table:
    """Of every picture the margin of its label, and the most probable other label."""
    index, shares = answers.label_index, answers.probabilities
    rows, known = np.arange(len(answers)), index >= 0
    own = np.where(known, shares[rows, index], 0.0) if len(answers) else np.empty(0)
    others = shares.copy()
    others[rows[known], index[known]] = -1
    best = others.argmax(axis=1) if len(answers) else np.empty(0, int)
    return pa.table(
        {
            "image_id": pa.array(answers.image_ids, pa.string()),
            "suggested_label": pa.array([answers.classes[place] for place in best], pa.string()),
            "margin": pa.array(own - others[rows, best], pa.float64()),
        }
    )


def _find_conflicts(files: DataFrame, twins: DataFrame) -> DataFrame:
    """`image_id`, `label` and `other`: another label under which the same picture or a near-duplicate is filed."""
    filed = files.select("image_id", "label").distinct()
    both_ways = twins.select("image_id", "near_duplicate_id").union(twins.select("near_duplicate_id", "image_id"))
    kin = both_ways.union(filed.select("image_id", F.col("image_id").alias("near_duplicate_id")))
    theirs = filed.select(F.col("image_id").alias("near_duplicate_id"), F.col("label").alias("other"))
    pairs = filed.join(kin, "image_id").join(theirs, "near_duplicate_id").where(F.col("label") != F.col("other"))
    return pairs.groupBy("image_id", "label").agg(F.min("other").alias("other"))


def _caption(row: Row) -> tuple[str, str]:
    return f"{row['label']}?\n{row['suggested_label']}", DOUBTFUL
