"""Tables of the review page: the queue, its likely labels, features and labels, read without Spark.

The driver holds the rows of the queue and five labels of each, never image bytes nor all features.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline.evaluation.label_issues import AGREEMENT, CONFLICT
from pipeline.images.label_sets import rank_sets
from pipeline.reviews.answers import Key
from pipeline.reviews.items import AUDIT, DRIFT, LABEL_ISSUE, NOVEL, SHOWN_LABELS, Item
from pipeline.storage.vectors import to_matrix
from resources.lake.commits import LakeError, list_files, open_table
from resources.lake.datasets import open_dataset
from resources.shares import folder_of

QUEUE: Final = (
    *("day", "image_id", "path", "predicted_label", "confidence", "reason", "similarity", "classifier", "audit_weight"),
)
PREDICTED: Final = ("day", "image_id", "path", "predicted_label", "classifier", "probabilities")
BATCH_ROWS: Final = 2**13
ISSUE_LIMIT: Final = 500  # label issues, the worst first
REST: Final = "*"  # key of all labels that a prediction does not list


@dataclass(frozen=True)
class QueueTables:
    """The tables of the lake in this folder or URI, of the question with this prefix."""

    lake: str
    prefix: str = ""

    @cached_property
    def is_multi_label(self) -> bool:
        """Whether its predictions are sets of labels."""
        delta = open_table(folder_of("predictions", self.lake, self.prefix))
        return delta is not None and "labels" in {field.name for field in delta.schema().fields}

    def list_days(self) -> list[date]:
        """Days with a review queue, in order.

        Raises:
            LakeError: if there is none.
        """
        delta = open_table(folder_of("review_queue", self.lake, self.prefix))
        if delta is None:
            raise LakeError(f"there is no review queue in {self.lake} (DAYLIGHT_LAKE): run a day first")
        return sorted({file.day for file in list_files(delta, "day", None) if file.day})

    def read_items(self, days: Collection[date]) -> list[Item]:
        """Reads the queues of days, their examples of drift, and the label issues."""
        queue = self._read("review_queue", QUEUE, _of(days))
        drift = self._read("drift", ("day", "examples"), _of(days))
        queued = dict.fromkeys(map(Key, queue["day"].to_pylist(), queue["image_id"].to_pylist()))
        examples = {
            Key(row["day"], example["image_id"]): rank
            for row in drift.to_pylist()
            for rank, example in enumerate(row["examples"] or ())
        }
        drifted = {key: rank for key, rank in examples.items() if key not in queued}
        predictions = self._read_predictions(days, [*queued, *drifted])
        items = [_to_item(key, row, predictions) for key, row in zip(queued, queue.to_pylist(), strict=True)]
        items += [_to_example(key, rank, predictions) for key, rank in drifted.items() if key in predictions]
        return items + list(self._read_label_issues())

    def read_labels(self) -> list[str]:
        """All labels of the training set, the most frequent first."""
        counts = Counter(
            label for label in self._read("training_split", ("label",), None)["label"].to_pylist() if label
        )
        return sorted(counts, key=lambda label: (-counts[label], label))

    def read_features(self, keys: Sequence[Key]) -> np.ndarray:
        """Reads features of images of days, float32 `[n, dimension]`; zeros where there are none."""
        places = {key: place for place, key in enumerate(keys)}
        wanted = ds.field("image_id").isin([key.image_id for key in keys]) & ds.field("features").is_valid()
        features = np.zeros((len(keys), 1), np.float32)
        for batch in self._scan(
            "image_features", ("day", "image_id", "features"), wanted & _of({key.day for key in keys if key.day})
        ):
            vectors = to_matrix(batch["features"])
            if vectors.shape[1] > features.shape[1]:
                features = np.zeros((len(keys), vectors.shape[1]), np.float32)
            for row, key in enumerate(map(Key, batch["day"].to_pylist(), batch["image_id"].to_pylist())):
                if key in places:
                    features[places[key]] = vectors[row]
        return features

    def _read_predictions(self, days: Collection[date], keys: Sequence[Key]) -> dict[Key, "Prediction"]:
        """Reads the predictions of images, of equal images that of the first file."""
        wanted = ds.field("image_id").isin([key.image_id for key in keys]) & ds.field("predicted_label").is_valid()
        found: dict[Key, Prediction] = {}
        likely = LikelySets if self.is_multi_label else LikelyLabels
        for batch in self._scan("predictions", PREDICTED, wanted & _of(days)):
            shares = batch["probabilities"]
            columns = [batch[name].to_pylist() for name in PREDICTED[:-1]]
            for row, (day, image_id, path, label, classifier) in enumerate(zip(*columns, strict=True)):
                key = Key(day, image_id)
                if key not in found or path < found[key].path:
                    found[key] = Prediction(path, label, classifier, likely(shares, row))
        return found

    def _read_label_issues(self) -> Iterator[Item]:
        columns = ("rank", "image_id", "path", "label", "suggested_label", "margin", "reason")
        issues = self._read("label_issues", columns, ds.field("reason") != AGREEMENT)
        worst = issues.sort_by("rank").slice(0, ISSUE_LIMIT).to_pylist()
        seen = set()
        for row in worst:
            if row["image_id"] in seen:
                continue
            seen.add(row["image_id"])
            other = self._find_other(row) if row["reason"] == CONFLICT else None
            labels = [row["label"], *([row["suggested_label"]] if row["suggested_label"] else [])]
            note = f"filed as {row['label']}, but {'a near-duplicate is' if other else 'it looks like'} {labels[-1]}"
            yield Item(
                Key(None, row["image_id"]),
                row["path"],
                LABEL_ISSUE,
                tuple((label, 0.0) for label in labels),
                label=row["label"],
                rank=row["rank"],
                note=note,
                other_id=other,
            )

    def _find_other(self, issue: dict[str, Any]) -> str | None:
        """Finds the near-duplicate of an image that is filed under the suggested label."""
        image_id = issue["image_id"]
        related = {pair[0] if pair[1] == image_id else pair[1] for pair in self._pairs if image_id in pair}
        return next((each for each in sorted(related) if issue["suggested_label"] in self._filed.get(each, ())), None)

    @cached_property
    def _pairs(self) -> list[tuple[str, str]]:
        pairs = self._read("near_duplicates", ("image_id", "near_duplicate_id"), None)
        return list(zip(pairs["image_id"].to_pylist(), pairs["near_duplicate_id"].to_pylist(), strict=True))

    @cached_property
    def _filed(self) -> dict[str, set[str]]:
        """Labels of the files of each labelled image."""
        filed: dict[str, set[str]] = {}
        for row in self._read("training_images", ("image_id", "label"), None).to_pylist():
            filed.setdefault(row["image_id"], set()).add(row["label"])
        return filed

    def _read(self, table: str, columns: Sequence[str], keep: pc.Expression | None) -> pa.Table:
        """Reads columns of a table, those that it lacks as null; no rows if there is no table."""
        batches = list(self._scan(table, columns, keep))
        return pa.Table.from_batches(batches) if batches else pa.table({name: pa.nulls(0) for name in columns})

    def _scan(self, table: str, columns: Sequence[str], keep: pc.Expression | None) -> Iterator[pa.RecordBatch]:
        """Reads batches of rows, few ahead, so that memory stays small."""
        folder = folder_of(table, self.lake, self.prefix)
        delta = open_table(folder)
        if delta is None:
            return
        rows = open_dataset(delta, folder)
        present = {name: ds.field(name) if name in rows.schema.names else ds.scalar(None) for name in columns}
        scanner = rows.scanner(present, keep, BATCH_ROWS, batch_readahead=2, fragment_readahead=2)
        yield from (batch for batch in scanner.to_batches() if batch.num_rows)


class Prediction(NamedTuple):
    """What a classifier said about an image."""

    path: str
    label: str
    classifier: str
    likely: "LikelyLabels"


class LikelyLabels(Sequence[tuple[str, float]]):
    """The most probable labels of a row of `predictions`, sorted when somebody looks: a queue has 100,000 rows."""

    __slots__ = ("_row", "_shares")

    def __init__(self, shares: pa.MapArray, row: int) -> None:
        """Takes the column of probabilities and the number of the row."""
        self._shares, self._row = shares, row

    def __len__(self) -> int:
        """Number of labels shown."""
        return len(self._read())

    def __getitem__(self, place: Any) -> Any:
        """A label and its probability, or several."""
        return self._read()[place]

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """The labels, the most probable first."""
        return iter(self._read())

    def _read(self) -> tuple[tuple[str, float], ...]:
        shares = [pair for pair in self._shares[self._row].as_py() or () if pair[0] != REST]
        return tuple(sorted(shares, key=lambda pair: (-pair[1], pair[0]))[:SHOWN_LABELS])


class LikelySets(LikelyLabels):
    """The most probable sets of labels of a row of `predictions`."""

    __slots__ = ()

    def _read(self) -> tuple[tuple[str, float], ...]:
        return tuple(rank_sets(dict(self._shares[self._row].as_py() or ()), SHOWN_LABELS))


def _to_item(key: Key, row: Mapping[str, Any], predictions: Mapping[Key, Prediction]) -> Item:
    found = predictions.get(key)
    reason = AUDIT if row["audit_weight"] is not None else row["reason"]
    rank = row["similarity"] if reason == NOVEL else row["confidence"]
    likely, weight = found.likely if found else (), row["audit_weight"] or 0.0
    shown = (key, row["path"], reason, likely, row["predicted_label"], row["classifier"])
    return Item(*shown, rank=rank or 0.0, weight=weight)


def _to_example(key: Key, rank: int, predictions: Mapping[Key, Prediction]) -> Item:
    found = predictions[key]
    return Item(key, found.path, DRIFT, found.likely, found.label, found.classifier, rank=rank)


def _of(days: Collection[date]) -> pc.Expression:
    return ds.field("day").isin(sorted(days))
