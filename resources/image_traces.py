"""Image traces: reads every row about one image from narrow columns of the tables, without Spark and without `content`.

`predictions` has a row for every file, so it gives the days of an image; other tables are read for these days only.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, reduce
from operator import or_
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from pipeline.daily.traces import (
    ImageQuery,
    Row,
    Sighting,
    Trace,
    UnknownImageError,
    choose_image,
    format_sighting,
    parse_query,
)
from resources.lake.commits import open_table
from resources.lake.datasets import open_dataset
from resources.models.classifier_records import ClassifierRecords
from resources.shares import folder_of

SIGHTING: Final = ("day", "image_id", "path")
COLUMNS: Final = {
    "images": ("day", "image_id", "path", "length", "modified_at", "read_error"),
    "image_features": ("day", "image_id", "width", "height", "format", "error", "backbone"),
    "predictions": (
        *("day", "image_id", "path", "predicted_label", "confidence", "decision", "error", "classifier", "backbone"),
        "near_duplicate_of",
    ),
    "review_queue": ("day", "image_id", "reason", "predicted_label", "confidence", "audit_weight", "classifier"),
    "reviews": ("day", "image_id", "label", "predicted_label", "origin", "problem"),
    "training_images": ("image_id", "path", "label", "origin", "length", "modified_at", "read_error"),
    "training_features": ("image_id", "width", "height", "format", "error", "backbone"),
    "training_split": ("image_id", "label", "split", "group"),
    "near_duplicates": ("image_id", "near_duplicate_id", "similarity", "correlation"),
}
MAX_SIMILAR_NAMES: Final = 5  # in an error message


@dataclass(frozen=True)
class ImageTraces:
    """The rows about images in the lake of this folder or URI, of the question with this prefix."""

    lake: str
    prefix: str = ""

    def find(self, text: str) -> Trace:
        """Finds the image that a text names, and all rows about it.

        Args:
            text: end of its path, with or without its day; its `image_id` or the first digits of it; or a file on this
                machine with the same bytes.

        Raises:
            UnknownImageError: if no image matches, or several do.
        """
        query = parse_query(text)
        sightings = self._find_sightings(query)
        if not sightings and Path(text).is_file():
            with Path(text).open("rb") as file:
                query = parse_query(hashlib.file_digest(file, "sha256").hexdigest())
            sightings = self._find_sightings(query)
        if not sightings:
            raise UnknownImageError("\n".join([f"this lake has no image {text!r}", *self._list_similar_names(query)]))
        return self._trace(choose_image(query, sightings))

    def _find_sightings(self, query: ImageQuery) -> list[Sighting]:
        path = ds.field("path").isin(query.paths)
        is_named = ds.field("image_id") == query.prefix
        if len(query.prefix) < 64:
            is_named = pc.starts_with(ds.field("image_id"), query.prefix)
        arrived = labelled = is_named | path if query.prefix else path
        if query.dated:
            dated = [(ds.field("day") == day) & (ds.field("path") == below) for day, below in query.dated]
            arrived = reduce(or_, dated)
        found = [_to_sighting(row) for row in self._read("predictions", SIGHTING, arrived)]
        if not found:
            is_unpredicted = ds.field("day").isin(self._unpredicted_days)
            found = [_to_sighting(row) for row in self._read("images", SIGHTING, arrived & is_unpredicted)]
        found += [_to_sighting(row) for row in self._read("training_images", SIGHTING[1:], labelled)]
        return found or [_to_sighting(row) for row in self._classifiers.list_members(labelled)]

    def _trace(self, sighting: Sighting) -> Trace:
        image_id = sighting.image_id
        is_image = ds.field("image_id") == image_id
        if image_id is None:
            is_image = (ds.field("day") == sighting.day) & (ds.field("path") == sighting.path)
        predicted_days = {row["day"] for row in self._read("predictions", ("day", "image_id"), is_image)}
        predictions = self._read_all("predictions", is_image & ds.field("day").isin(predicted_days))
        is_on_days = is_image & ds.field("day").isin([*predicted_days, *self._unpredicted_days])
        arrivals = self._read_all("images", is_on_days)
        if image_id is None:
            return Trace(None, arrivals, predictions=predictions)
        near_duplicates = self._find_near_duplicates(image_id)
        ids = [image_id, *(row["image_id"] for row in near_duplicates)]
        return Trace(
            image_id,
            arrivals,
            self._read_all("image_features", is_on_days),
            predictions,
            self._read_all("review_queue", is_on_days),
            self._read_all("reviews", is_image),
            self._read_all("training_images", is_image),
            self._find_training_row(is_image),
            near_duplicates,
            self._classifiers.trace(ids, predictions),
        )

    def _find_near_duplicates(self, image_id: str) -> list[Row]:
        """Finds direct and transitive near-duplicates, each with the pair that reached it first."""
        pairs = self._read_all("near_duplicates", None)
        reached: dict[str, Row] = {image_id: {}}
        waiting = [image_id]
        while waiting:
            current = waiting.pop(0)
            for pair in pairs:
                first, second = pair["image_id"], pair["near_duplicate_id"]
                other = {first: second, second: first}.get(current)
                if other and other not in reached:
                    reached[other] = {**pair, "image_id": other, "near_duplicate_id": current}
                    waiting.append(other)
        return [pair for pair in reached.values() if pair]

    @cached_property
    def _classifiers(self) -> ClassifierRecords:
        return ClassifierRecords(self.lake, self.prefix)

    @cached_property
    def _unpredicted_days(self) -> list[date]:
        """Days with images and without predictions, in order."""
        return sorted(self._days("images") - self._days("predictions"))

    def _days(self, table: str) -> set[date]:
        delta = self._open(table)
        return set(pa.table(delta.get_add_actions(flatten=True))["partition.day"].to_pylist()) if delta else set()

    def _read_all(self, table: str, keep: pc.Expression | None) -> list[Row]:
        return self._read(table, COLUMNS[table], keep)

    def _read(self, table: str, columns: Sequence[str], keep: pc.Expression | None) -> list[Row]:
        """Reads rows of a table, without columns that it lacks; none if there is no table."""
        delta = self._open(table)
        if delta is None:
            return []
        rows = open_dataset(delta, self._folder(table))
        present = [name for name in columns if name in rows.schema.names]
        keys = [(name, "ascending") for name in ("day", "path") if name in present]
        found = rows.to_table(columns=present, filter=keep)
        return (found.sort_by(keys) if keys else found).to_pylist()

    def _find_training_row(self, keep: pc.Expression) -> Row | None:
        """Features and split of a labelled image, in one row."""
        found = [row for table in ("training_features", "training_split") for row in self._read_all(table, keep)]
        return {name: value for row in found for name, value in row.items()} if found else None

    def _open(self, table: str) -> DeltaTable | None:
        if table not in self._opened:
            self._opened[table] = open_table(self._folder(table))
        return self._opened[table]

    def _folder(self, table: str) -> str:
        return folder_of(table, self.lake, self.prefix)

    @cached_property
    def _opened(self) -> dict[str, DeltaTable | None]:
        return {}

    def _list_similar_names(self, query: ImageQuery) -> list[str]:
        """Lists files of the same name, or images whose id starts with the same digits."""
        is_similar = pc.ends_with(ds.field("path"), query.paths[-1], ignore_case=True)
        if query.prefix:
            is_similar = pc.starts_with(ds.field("image_id"), query.prefix[:8])
        found = [_to_sighting(row) for row in self._read("predictions", SIGHTING, is_similar)]
        shown = [format_sighting(each) for each in found[:MAX_SIMILAR_NAMES]]
        return [f"similar names ({len(found)}):", *shown] if found else []


def _to_sighting(row: Row) -> Sighting:
    return Sighting(row["image_id"], row["path"], row.get("day"))
