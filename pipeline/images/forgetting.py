"""Forgetting: rows of any table without one image, whichever columns name it."""

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.storage.columns.schema import is_textual

OWN_COLUMNS: Final = ("image_id", "near_duplicate_id")
"""Columns whose row is about the image that they name."""


def has_image(rows: pa.Table, image_id: str) -> bool:
    """Whether a row of the table names the image, in any column."""
    return any(_has_text(column, image_id) for column in rows.columns)


def forget_image(rows: pa.Table, image_id: str, heir: str | None = None) -> pa.Table:
    """Removes an image from rows: its own ones, and its mentions in others.

    Args:
        rows: rows of any table.
        image_id: the image.
        heir: takes its place where other rows name it alone; null by default.
    """
    for name in OWN_COLUMNS:
        if name in rows.column_names:
            rows = rows.filter(pc.fill_null(pc.not_equal(rows[name], image_id), True))
    for place, field in enumerate(rows.schema):
        if _has_text(rows[field.name], image_id):
            values = [_without(value, image_id, heir) for value in rows[field.name].to_pylist()]
            rows = rows.set_column(place, field, pa.array(values, field.type))
    return rows


def _has_text(column: pa.ChunkedArray | pa.Array, text: str) -> bool:
    if not is_textual(column.type):
        return False
    if isinstance(column, pa.ChunkedArray):
        return any(_has_text(chunk, text) for chunk in column.chunks)
    if pa.types.is_string(column.type):
        return bool(pc.any(pc.equal(column, text)).as_py())
    parts = column.flatten()
    return any(_has_text(part, text) for part in (parts if isinstance(parts, list) else [parts]))


def _without(value: Any, text: str, heir: str | None) -> Any:
    if isinstance(value, list):
        return [each for each in value if each != text and not (isinstance(each, dict) and text in each.values())]
    return heir if value == text else value
