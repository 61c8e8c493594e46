"""Similar images: the nearest among all labelled images and all days, read in blocks from the tables of features.

Exact, without an index that could be stale: threads read row groups and keep the best, so memory stays small.
"""

import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipeline.reviews.answers import AnswerBook, AnswerError, Key
from pipeline.reviews.items import AUDIT
from pipeline.similarity.exact_search import BestMatches
from pipeline.storage.files import open_folder
from pipeline.storage.vectors import to_matrix, view_matrices
from resources.lake.commits import list_files, open_table
from resources.lake.datasets import open_dataset
from resources.shares import folder_of

COUNT: Final = 24  # images found
COLUMNS: Final = ("image_id", "features", "backbone")
TABLES: Final = ("training_features", "image_features")
SHARED_ROWS: Final = 10_000  # of a file above which all threads read a part of it


@dataclass(frozen=True)
class Part:
    """Every `count`th row group of a file below a folder, beginning with `number`."""

    folder: str
    path: str
    number: int
    count: int

    def search(self, best: BestMatches, backbone: str) -> BestMatches:
        """Adds the features that this backbone computed."""
        filesystem, root = open_folder(self.folder)
        with pq.ParquetFile(filesystem.open_input_file(f"{root}/{self.path}")) as file:
            for number in range(self.number, file.num_row_groups, self.count):
                rows = file.read_row_group(number, COLUMNS, use_threads=False)
                is_kept = pc.and_(rows["features"].is_valid(), pc.equal(rows["backbone"], backbone))
                rows = rows if pc.all(is_kept).as_py() else rows.filter(is_kept)
                ids = iter(rows["image_id"].to_pylist())
                for vectors in view_matrices(rows["features"]):
                    best.add(vectors, list(islice(ids, len(vectors))))
        return best


@dataclass(frozen=True)
class Match:
    """An image like the one asked for.

    Attributes:
        key: one place where it lies: the labelled images, or its last day.
        similarity: cosine of the features, -1 to 1.
        path: of its file there.
        label: label of a labelled image; else null.
        predicted_label: prediction of an image of a day; null while its audit waits for an answer.
        confidence: its probability.
        days: all days on which it arrived.
    """

    key: Key
    similarity: float
    path: str = ""
    label: str | None = None
    predicted_label: str | None = None
    confidence: float | None = None
    days: tuple[date, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The match as JSON."""
        values = {name: getattr(self, name) for name in ("path", "label", "predicted_label", "confidence")}
        return {"key": str(self.key), "similarity": round(self.similarity, 4), **values, "days": [*map(str, self.days)]}


@dataclass(frozen=True)
class SimilarImages:
    """The search in the lake of this folder or URI; the book says which images of the audit are answered.

    Labels and predictions are those of the question with this prefix.
    """

    lake: str
    book: AnswerBook
    prefix: str = ""

    def find(self, key: Key, days: Collection[date] | None = None, count: int = COUNT) -> list[Match]:
        """Finds the images most like one and describes them; arguments as of `rank`.

        Raises:
            AnswerError: if the image has no features, or waits in the audit.
        """
        if self._list_hidden([key]):
            raise AnswerError(
                "answer this image first: it is in the blind audit, and similar images would hint at its label"
            )
        return self._describe(self.rank(key, days, count), days)

    def rank(self, key: Key, days: Collection[date] | None = None, count: int = COUNT) -> list[tuple[str, float]]:
        """Finds `image_id` and cosine of the images most like one, the most similar first, without itself.

        Args:
            key: the image.
            days: days to search beside the labelled images; None for all.
            count: images to find.

        Raises:
            AnswerError: if the image has no features.
        """
        query, backbone = self._read_query(key)
        best = BestMatches(query, count + 1)
        parts = [part for table in TABLES for part in self._list_parts(table, days)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for found in pool.map(lambda part: part.search(BestMatches(query, count + 1), backbone), parts):
                best.merge(found)
        return [(str(name), cosine) for name, cosine in best.ranked() if name != key.image_id][:count]

    def _list_parts(self, table: str, days: Collection[date] | None) -> list[Part]:
        folder = folder_of(table, self.lake, self.prefix)
        delta = open_table(folder)
        values = None if days is None or table == TABLES[0] else [str(day) for day in days]
        files = list_files(delta, "day", values) if delta else ()
        threads = os.cpu_count() or 1
        counts = [threads if file.row_count > SHARED_ROWS else 1 for file in files]
        return [
            Part(folder, file.path, number, count)
            for file, count in zip(files, counts, strict=True)
            for number in range(count)
        ]

    def _read_query(self, key: Key) -> tuple[np.ndarray, str]:
        table = "image_features" if key.day else "training_features"
        keep = ds.field("image_id") == key.image_id
        rows = self._read(table, COLUMNS, keep & (ds.field("day") == key.day) if key.day else keep)
        rows = rows.filter(rows["features"].is_valid()) if rows.num_rows else rows
        if not rows.num_rows:
            raise AnswerError(f"{key} has no features: it is unknown or was rejected")
        return to_matrix(rows["features"].slice(0, 1))[0], rows["backbone"][0].as_py()

    def _describe(self, ranked: Sequence[tuple[str, float]], days: Collection[date] | None) -> list[Match]:
        is_found = ds.field("image_id").isin([name for name, _ in ranked])
        filed = self._read("training_images", ("image_id", "path", "label"), is_found).to_pylist()
        labels = {row["image_id"]: row for row in filed}
        columns = ("day", "image_id", "path", "predicted_label", "confidence")
        on_days = is_found if days is None else is_found & ds.field("day").isin(sorted(days))
        arrived: dict[str, list[dict[str, Any]]] = {}
        for row in self._read("predictions", columns, on_days).sort_by("day").to_pylist():
            arrived.setdefault(row["image_id"], []).append(row)
        hidden = self._list_hidden([Key(row["day"], name) for name, rows in arrived.items() for row in rows])
        matches = []
        for name, cosine in ranked:
            rows, labelled = arrived.get(name, []), labels.get(name)
            all_days = tuple(dict.fromkeys(row["day"] for row in rows))
            if labelled:
                matches.append(Match(Key(None, name), cosine, labelled["path"], labelled["label"], days=all_days))
            elif rows:
                row = rows[-1]
                is_hidden = any(Key(day, name) in hidden for day in all_days)
                label, confidence = (None, None) if is_hidden else (row["predicted_label"], row["confidence"])
                key = Key(row["day"], name)
                matches.append(Match(key, cosine, row["path"], None, label, confidence, all_days))
        return matches

    def _list_hidden(self, keys: Collection[Key]) -> set[Key]:
        """Images of the audit that nobody answered."""
        of_days = [key for key in keys if key.day and not self.book.of(key)]
        if not of_days:
            return set()
        wanted = ds.field("image_id").isin([key.image_id for key in of_days])
        # One that left the sample of a day that grew has the reason, and no weight.
        is_audited = ds.field("audit_weight").is_valid() | (ds.field("reason") == AUDIT)
        drawn = self._read("review_queue", ("day", "image_id"), wanted & is_audited)
        return {Key(row["day"], row["image_id"]) for row in drawn.to_pylist()} & set(of_days)

    def _read(self, table: str, columns: Sequence[str], keep: pc.Expression) -> pa.Table:
        folder = folder_of(table, self.lake, self.prefix)
        delta = open_table(folder)
        if delta is None:
            return pa.table({name: [] for name in columns})
        return open_dataset(delta, folder).to_table(columns=list(columns), filter=keep)
