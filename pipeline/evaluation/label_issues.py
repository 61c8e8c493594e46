"""Label issues: labels that are probably wrong, worst first, by classifiers that were not trained on them.

An image filed under two labels, or whose near-duplicate has another label, has a wrong label for certain and comes
first. The rest is ranked by the margin of confident learning (Northcutt et al. 2021, arXiv:1911.00068).
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.reports.contact_sheet import draw_contact_sheet, draw_tiles
from pipeline.reports.markdown import markdown_table
from pipeline.reports.palette import DOUBTFUL
from pipeline.reports.report import Report
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.counting import count_by
from pipeline.storage.local_frames import open_table
from pipeline.storage.stored_rows import StoredRows

SCHEMA: Final = """
    rank int comment '1 for the label that is most probably wrong',
    image_id string comment 'from training_images.image_id',
    path string comment 'from training_images.path',
    label string comment 'from training_images.label',
    suggested_label string comment 'the most probable other label, or that of a near-duplicate',
    margin double comment 'probability of the label less that of the best other one; null without a prediction',
    reason string comment 'conflict (it or a near-duplicate is filed under another label), disagreement or agreement'
"""
CONFLICT, DISAGREEMENT, AGREEMENT = "conflict", "disagreement", "agreement"
SHEET_SIZE: Final = 24


def rank_labels(
    training_images: DataFrame, near_duplicates: DataFrame, predictions: Sequence[LabelledPredictions]
) -> DataFrame:
    """Ranks the labels of all labelled files, in the columns of `SCHEMA`.

    Args:
        training_images: with `image_id`, `path` and `label`.
        near_duplicates: pairs, with `image_id` and `near_duplicate_id`.
        predictions: calibrated, by classifiers that were not trained on these images.
    """
    files = training_images.where(F.col("image_id").isNotNull()).select("image_id", "path", "label")
    margins = open_table(files.sparkSession, pa.concat_tables([_compute_margins(each) for each in predictions]))
    conflicts = _find_conflicts(files, near_duplicates)
    doubted = files.join(margins, "image_id", "left").join(conflicts, ["image_id", "label"], "left")
    reason = F.when(F.col("other").isNotNull(), CONFLICT).when(F.col("margin") < 0, DISAGREEMENT).otherwise(AGREEMENT)
    order = [(F.col("reason") != CONFLICT), F.coalesce("margin", F.lit(0.0)), F.col("image_id"), F.col("path")]
    ranked = doubted.withColumn("reason", reason).withColumn("rank", F.row_number().over(Window.orderBy(*order)))
    suggested = F.coalesce("other", "suggested_label").alias("suggested_label")
    return ranked.select("rank", "image_id", "path", "label", suggested, "margin", "reason").to(parse_schema(SCHEMA))


def describe_label_issues(
    training_images: StoredRows, limits: Limits = DEFAULT_LIMITS
) -> Callable[[DataFrame], Report]:
    """Counts the labels by reason and draws the worst ones, from the bytes in `training_images`."""

    def describe(label_issues: DataFrame) -> Report:
        counts = {row["reason"]: row["count"] for row in count_by(label_issues, "reason")}
        doubtful = label_issues.where(F.col("reason") != AGREEMENT)
        pairs = [list(row) for row in count_by(doubtful, "label", "suggested_label")]
        worst = doubtful.orderBy("rank").limit(SHEET_SIZE).collect()
        tiles = draw_tiles(training_images, worst, _write_caption, limits)
        return Report(
            numbers={f"{reason}_count": counts.get(reason, 0) for reason in (CONFLICT, DISAGREEMENT)},
            tables={"confused_labels": markdown_table(["label", "suggested", "files"], pairs[:20])} if pairs else {},
            images={"worst_labels": draw_contact_sheet(tiles)} if tiles else {},
        )

    return describe


def _write_caption(row: Row) -> tuple[str, str]:
    return f"{row['label']}?\n{row['suggested_label']}", DOUBTFUL


def _compute_margins(predictions: LabelledPredictions) -> pa.Table:
    """Computes the margin of each label, and the most probable other label."""
    index, shares = predictions.label_index, predictions.probabilities
    rows, is_known = np.arange(len(predictions)), index >= 0
    own = np.where(is_known, shares[rows, index], 0.0) if len(predictions) else np.empty(0)
    others = shares.copy()
    others[rows[is_known], index[is_known]] = -1
    best = others.argmax(axis=1) if len(predictions) else np.empty(0, int)
    suggested = predictions.class_of(best)
    schema = pa.schema({"image_id": pa.string(), "suggested_label": pa.string(), "margin": pa.float64()})
    return pa.table([predictions.image_ids, suggested, own - others[rows, best]], schema)


def _find_conflicts(files: DataFrame, near_duplicates: DataFrame) -> DataFrame:
    """Finds `image_id`, `label` and `other`: another label of the same image or of a near-duplicate."""
    filed = files.select("image_id", "label").distinct()
    pairs = near_duplicates.select("image_id", "near_duplicate_id")
    mirrored = near_duplicates.select("near_duplicate_id", "image_id")
    same = filed.select("image_id", F.col("image_id").alias("near_duplicate_id"))
    others = filed.select(F.col("image_id").alias("near_duplicate_id"), F.col("label").alias("other"))
    related = filed.join(pairs.union(mirrored).union(same), "image_id").join(others, "near_duplicate_id")
    conflicts = related.where(F.col("label") != F.col("other"))
    return conflicts.groupBy("image_id", "label").agg(F.min("other").alias("other"))
