"""The difficulties of days: which labels of the audit prove a threshold."""

from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.reviews.reviews import SCHEMA
from pipeline.storage.columns.schema import parse_schema
from resources.lake.lake import Lake
from resources.models.difficulties import AUDITS, read_audits

FRIDAY = date(2026, 11, 20)
LABELS = ("apple", "pear")
GOOD = {"day": FRIDAY, "confidence": 0.9, "predicted_label": "pear", "audit_weight": 5.0, "classifier": "v1"}


def test_only_sound_labels_of_the_audit_of_this_classifier_count(spark: SparkSession, tmp_path: Path) -> None:
    lake, schema = Lake(root=str(tmp_path)), parse_schema(SCHEMA)
    assert read_audits(lake, spark, "v1", LABELS) == AUDITS.empty_table(), "no training has collected reviews yet"
    answers = [
        GOOD | {"label": "pear"},
        GOOD | {"label": "apple", "confidence": 0.7},
        GOOD | {"label": "pear", "audit_weight": None},
        GOOD | {"label": "pear", "confidence": None},
        GOOD | {"label": "pear", "classifier": "v0"},
        GOOD | {"label": None, "problem": "unknown image"},
        GOOD | {"label": "pear", "predicted_label": "fruit"},
    ]
    rows = [tuple(answer.get(name) for name in schema.names) for answer in answers]
    lake.write("reviews", spark.createDataFrame(rows, schema), None)
    found = read_audits(lake, spark, "v1", LABELS).sort_by("confidence").to_pylist()
    assert found == [
        {"day": FRIDAY, "confidence": 0.7, "is_right": False},
        {"day": FRIDAY, "confidence": 0.9, "is_right": True},
    ]
