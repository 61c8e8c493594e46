"""The training set: the labelled pictures that a classifier is fitted and judged on, and what makes it the same one."""

import hashlib
import json
from importlib.metadata import version
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from pipeline.embed.file_kinds import DECODER
from pipeline.images.split import HOLDOUT, TRAIN
from pipeline.storage.counting import only_row
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.fitting import ClassifierParams, resolve_params

TRAINING_SET: Final = pa.schema([(name, pa.string()) for name in ("image_id", "path", "label", "split")])
"""What a classifier remembers of its training set: a row for every file, sorted by picture. `split` is null of pictures
that were left out, because near-duplicates of theirs are in the holdout."""

FIT_ROWS: Final = 10_000
"""Rows of one partition while fitting: every iteration is a Spark job, and small partitions are all overhead."""


class TrainingError(ValueError):
    """Features that no classifier can be fitted on; the text says what is missing."""


def select_labelled(features: DataFrame) -> DataFrame:
    """The rows to fit and to judge on, always in the same order: fitting adds floats up, and order shows.

    Args:
        features: with `image_id`, `label`, `split`, `features` and `backbone`, and perhaps `group` and `split_alone`.

    Returns:
        These seven columns; rows without a label, features or any side are left out. Without groups every picture is
        its own. `split` is null where near-duplicates stand in the holdout: such pictures are on neither side.
    """
    usable = features.where(F.col("label").isNotNull() & F.col("features").isNotNull())
    for column, default in (("group", "image_id"), ("split_alone", "split")):
        if column not in features.columns:
            usable = usable.withColumn(column, F.col(default))
    sided = usable.where(F.col("split").isin(TRAIN, HOLDOUT) | F.col("split_alone").isin(TRAIN, HOLDOUT))
    columns = sided.select("image_id", "label", "split", "features", "backbone", "group", "split_alone")
    partitions = 2 + columns.count() // FIT_ROWS
    return columns.repartition(partitions, "image_id").sortWithinPartitions("image_id")


def list_training_set(features: DataFrame, images: StoredRows) -> pa.Table:
    """Names the pictures and files that a classifier of these features is fitted and judged on, in `TRAINING_SET`.

    Bound: the driver holds some 200 bytes of every file.

    Args:
        features: as for `select_labelled`.
        images: the labelled files, with `image_id` and `path`.
    """
    sides = select_labelled(features).select("image_id", "label", "split").toArrow()
    files = images.locate(["image_id", "path"], lambda rows: pc.is_in(rows["image_id"], sides["image_id"]))
    listed = files.select(["image_id", "path"]).join(sides, "image_id", join_type="inner")
    return (
        listed.select(TRAINING_SET.names)
        .cast(TRAINING_SET)
        .sort_by([(key, "ascending") for key in ("image_id", "path")])
    )


def check_trainable(labelled: DataFrame) -> Row:
    """Counts what is there.

    Returns:
        `backbones` (exactly one), `labels` of the train side, `train_count`, `holdout_count`, and `moved_count`, of the
        pictures that would be on another side by themselves.

    Raises:
        TrainingError: where a side is empty, there is one label only, or the features are of several backbones.
    """
    train = F.col("split") == TRAIN
    found = only_row(
        labelled.select(
            F.collect_set("backbone").alias("backbones"),
            F.collect_set(F.when(train, F.col("label"))).alias("labels"),
            F.count_if(train).alias("train_count"),
            F.count_if(F.col("split") == HOLDOUT).alias("holdout_count"),
            F.count_if(~F.col("split").eqNullSafe(F.col("split_alone"))).alias("moved_count"),
        )
    )
    if len(found["labels"]) < 2:
        raise TrainingError(f"training needs two labels at least, and found {sorted(found['labels'])}")
    if found["holdout_count"] == 0:
        raise TrainingError("there is no holdout picture: add a validation or test folder, or take train/ out of paths")
    if len(found["backbones"]) > 1:
        raise TrainingError(f"features of several backbones, {sorted(found['backbones'])}: materialize them anew")
    return found


def identify(labelled: DataFrame, backbone: str, params: ClassifierParams) -> str:
    """The version of what is fitted from these.

    The same pictures, labels, sides, groups, backbone, parameters and libraries give the same one, so that retraining
    changes nothing.
    """
    told = F.xxhash64("image_id", "label", "split", "group", "split_alone")
    rows = only_row(labelled.select(F.bit_xor(told), F.count("*")))
    settings = resolve_params(params)
    settings["promised_precision"] = settings.pop("target_precision")  # a former name, part of every version so far
    inputs = json.dumps([list(rows), backbone, settings, version("pyspark"), DECODER], sort_keys=True)
    return hashlib.sha256(inputs.encode()).hexdigest()[:16]
