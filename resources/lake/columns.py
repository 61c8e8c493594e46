"""Columns: what tables of earlier versions lack, or have beyond those of this version."""

from collections.abc import Collection, Mapping
from typing import Final

from deltalake import Schema
from deltalake.schema import Field

ADDED_COLUMNS: Final[Mapping[str, Collection[str]]] = {
    "images": ("location",),
    "training_images": ("split_said", "group", "origin", "location"),
    "training_split": ("group", "split_alone"),
    "training_features": ("quality_flags", "decoder"),
    "image_features": ("quality_flags", "decoder", "miniature"),
    "feature_cache": ("quality_flags", "miniature"),
    "predictions": (
        "quality_flags",
        "threshold",
        "day_accuracy",
        "day_accuracy_low",
        "day_accuracy_high",
        "day_level",
        "is_clustered",
        "level",
        "near_duplicate_of",
    ),
    "difficulty": ("ancestor_thresholds", "comparisons", "review_flags", "label_thresholds"),
    "drift": ("cluster_count", "cluster_share"),
    "reviews": ("reviewer", "answered_at", "disagreement"),
    "review_queue": ("similarity", "audit_weight", "classifier", "quality_flags", "nearest_image_id"),
}
"""Columns that tables of earlier versions lack. They are added at the next write, null in existing rows."""

DROPPED_COLUMNS: Final[Mapping[str, Collection[str]]] = {
    "training_features": ("label", "split", "split_alone", "group"),
}
"""Columns of earlier versions, by table without days; dropped with the old rows (`upgrade.py` copies them first)."""


def find_added(table: str, schema: Schema, wanted: Schema) -> list[Field]:
    """Columns that a later version added and that this table lacks."""
    present = types_of(schema)
    added = ADDED_COLUMNS.get(table, ())
    return [field for field in wanted.fields if field.name in added and field.name not in present]


def without_dropped(table: str, schema: Schema) -> Schema:
    """The schema without the columns that the table no longer has."""
    return Schema([field for field in schema.fields if field.name not in DROPPED_COLUMNS.get(table, ())])


def types_of(schema: Schema) -> dict[str, str]:
    """The types by column."""
    return {field.name: str(field.type) for field in schema.fields}
