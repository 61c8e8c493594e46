"""The reference of the drift test: prepared once for a training set, and kept in the lake beside the models."""

import hashlib
import zipfile
from typing import Final

import dagster as dg
from pyspark.sql import SparkSession

from pipeline.drift.reference import CODE, Reference, pack_reference, read_reference, unpack_reference
from pipeline.images.features import TRAINING_SCHEMA
from pipeline.images.split import SCHEMA as SPLIT_SCHEMA
from pipeline.images.split import join_split
from pipeline.storage.columns.schema import parse_schema
from resources.lake.lake import Lake
from resources.lake.model_files import DRIFT_REFERENCE

TABLES: Final = {"training_features": TRAINING_SCHEMA, "training_split": SPLIT_SCHEMA}


def find_reference(lake: Lake, spark: SparkSession, key: str) -> Reference:
    """Finds the reference of the training set; prepares and stores it where its tables have changed.

    Args:
        lake: the lake.
        spark: session that reads the tables.
        key: result of `identify_reference`.
    """
    file = lake.models.folder / DRIFT_REFERENCE
    content = lake.models.read(file)
    try:
        if content and (stored := unpack_reference(content, key)):
            return stored
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        dg.get_dagster_logger().warning(f"{file} is damaged and will be written again: {error}")
    tables = (lake.read_known(spark, name, parse_schema(ddl), None).frame for name, ddl in TABLES.items())
    reference = read_reference(join_split(*tables))
    if reference.sample:
        lake.models.write(file, pack_reference(reference, key))
    return reference


def identify_reference(lake: Lake) -> str:
    """Hashes the versions of the tables that the reference is made of, and of the code that prepares it."""
    versions = {name: lake.count_versions(name) for name in TABLES}
    return hashlib.sha256(f"{CODE} {versions}".encode()).hexdigest()
