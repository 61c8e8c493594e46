"""The training set: the rows that a classifier is fitted and evaluated on, and the version that follows from them."""

import hashlib
import json
from importlib.metadata import version
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from pipeline.embed.file_kinds import DECODER
from pipeline.evaluation.ranked import OTHERS
from pipeline.images.split import HOLDOUT, TRAIN
from pipeline.storage.counting import only_row
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.heads import AUTO, YES_NO
from pipeline.training.label_sets.shortage import explain_set_shortage
from pipeline.training.params import ClassifierParams, resolve_params
from pipeline.training.shortage import explain_shortage

TRAINING_SET: Final = pa.schema([(name, pa.string()) for name in ("image_id", "path", "label", "split")])
"""Training set stored with a classifier: one row per file, sorted by image; `split` as in `select_labelled`."""
CODE: Final = 1
"""Version of the code that fits, calibrates and evaluates: raise it with a change of results, or stored ones stay."""
FIT_ROWS: Final = 10_000  # per partition: every iteration is a Spark job, and small partitions are all overhead


class TrainingError(ValueError):
    """Features that no classifier can be fitted on; the message names what is missing."""


def select_labelled(features: DataFrame) -> DataFrame:
    """Selects the rows to fit and to evaluate on, always in the same order, because sums of floats depend on it.

    Args:
        features: labelled features with `image_id`, `label`, `split`, `features`, `backbone`, optionally `decoder` (by
            default this one), `group` (by default every image is its own) and `split_alone`.

    Returns:
        These eight columns, without rows that lack a label, features or both splits. `split` is null for images left
        out because near-duplicates of them are in the holdout.
    """
    usable = features.where(F.col("label").isNotNull() & F.col("features").isNotNull())
    for column, default in (
        ("group", F.col("image_id")),
        ("split_alone", F.col("split")),
        ("decoder", F.lit(DECODER)),
    ):
        if column not in features.columns:
            usable = usable.withColumn(column, default)
    split = usable.where(F.col("split").isin(TRAIN, HOLDOUT) | F.col("split_alone").isin(TRAIN, HOLDOUT))
    columns = split.select("image_id", "label", "split", "features", "backbone", "decoder", "group", "split_alone")
    partitions = 2 + columns.count() // FIT_ROWS
    return columns.repartition(partitions, "image_id").sortWithinPartitions("image_id")


def list_training_set(features: DataFrame, images: StoredRows) -> pa.Table:
    """Lists the files that a classifier of these features is fitted and evaluated on, in the schema `TRAINING_SET`.

    The driver holds about 200 bytes per file.

    Args:
        features: as for `select_labelled`.
        images: labelled files, with `image_id` and `path`.
    """
    splits = select_labelled(features).select("image_id", "label", "split").toArrow()
    files = images.locate(["image_id", "path"], lambda rows: pc.is_in(rows["image_id"], splits["image_id"]))
    listed = files.select(["image_id", "path"]).join(splits, "image_id", join_type="inner")
    return (
        listed.select(TRAINING_SET.names).cast(TRAINING_SET).sort_by([("image_id", "ascending"), ("path", "ascending")])
    )


def check_trainable(labelled: DataFrame, features: DataFrame, head: str = AUTO) -> Row:
    """Counts images and labels.

    Args:
        labelled: result of `select_labelled`.
        features: what it was selected from, to explain what is missing.
        head: head that will be fitted; labels are sets for `YES_NO`.

    Returns:
        `backbones` (exactly one), `labels` of the train split, `holdout_labels`, `train_count`, `holdout_count`, and
        `moved_count`: images that leakage groups moved to another split.

    Raises:
        TrainingError: if a split is empty, there is only one label, or one that predictions reserve, a label of sets
            has too few images, or the features come from several backbones or from another decoder.
    """
    train, holdout = F.col("split") == TRAIN, F.col("split") == HOLDOUT
    found = only_row(
        labelled.select(
            F.collect_set("backbone").alias("backbones"),
            F.collect_set(F.when(train, F.col("label"))).alias("labels"),
            F.collect_set(F.when(holdout, F.col("label"))).alias("holdout_labels"),
            F.count_if(train).alias("train_count"),
            F.count_if(holdout).alias("holdout_count"),
            F.count_if(~F.col("decoder").eqNullSafe(DECODER)).alias("foreign_count"),
            F.count_if(~F.col("split").eqNullSafe(F.col("split_alone"))).alias("moved_count"),
        )
    )
    if shortage := explain_shortage(features, sorted(found["labels"]), sorted(found["holdout_labels"])):
        raise TrainingError(shortage)
    if head == YES_NO and (shortage := explain_set_shortage(labelled)):
        raise TrainingError(shortage)
    if OTHERS in found["labels"]:
        raise TrainingError(f"the label {OTHERS!r} is the key of all others in predictions.probabilities: rename it")
    if found["foreign_count"]:
        raise TrainingError(
            f"{found['foreign_count']} images were decoded by another version of Daylight or its packages than this one"
            f" ({DECODER}): materialize training_features, which embeds them again"
        )
    if len(found["backbones"]) > 1:
        raise TrainingError(
            f"features come from several backbones, {sorted(found['backbones'])}: materialize training_features"
        )
    return found


def identify(labelled: DataFrame, backbone: str, params: ClassifierParams) -> str:
    """Hashes images, labels, splits, leakage groups, backbone, parameters, libraries and code to a version."""
    row = F.xxhash64("image_id", "label", "split", "group", "split_alone")
    rows = only_row(labelled.select(F.bit_xor(row), F.count("*")))
    settings = resolve_params(params)
    settings["promised_precision"] = settings.pop("target_precision")  # existing versions hash the former name
    search = ["folds by group"] if params.grid or params.heads else []  # they were by image
    code = [f"code {CODE}"] if CODE > 1 else []  # existing versions hash none
    inputs = json.dumps([list(rows), backbone, settings, version("pyspark"), DECODER, *search, *code], sort_keys=True)
    return hashlib.sha256(inputs.encode()).hexdigest()[:16]
