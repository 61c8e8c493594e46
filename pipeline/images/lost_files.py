"""Lost files: files that have the bytes of stored images, and that are gone or have changed."""

from collections.abc import Iterator

import pyarrow as pa

from pipeline.embed.contents import choose_columns, read_contents
from pipeline.storage.stored_rows import StoredRows


def list_lost(images: StoredRows) -> list[str]:
    """Lists images whose bytes can no longer be read; reads the file of every image whose bytes are not stored."""
    if "location" not in images.schema.names:
        return []
    located = images.frame.where("location is not null")
    lost = located.select(*choose_columns(located.columns)).mapInArrow(_select_lost, "image_id string")
    return [row["image_id"] for row in lost.distinct().collect()]


def _select_lost(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for read in read_contents(batch):
            yield read.rows.select(["image_id"]).filter(read.bytes.is_null())
