"""Softmax answers: label, confidence, listed probabilities and ancestors of images by a softmax head, of any rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from pipeline.evaluation.calibration import soften
from pipeline.evaluation.hierarchy import Depth, find_best_of_top, list_depths, sum_members
from pipeline.evaluation.ranked import OTHERS, TOP, top_places
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.picked_rows import map_columns
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.softmax.head import SoftmaxHead, send_head

BLOCK_ROWS: Final = 256  # images whose probabilities are in memory at a time: 10 MB of 5,000 labels
DRIVER_SHARES: Final = 2**19  # probabilities that the driver computes itself, in half a second
_TEMPERATURE: Final = "temperature of its answer"
_ANCESTORS: Final = "array<struct<depth: int, label: string, confidence: double>>"
_ANCESTOR: Final = pa.struct({"depth": pa.int32(), "label": pa.string(), "confidence": pa.float64()})
_ADDED: Final = f"""
    predicted_label string, confidence double, probabilities map<string, double>, ancestors {_ANCESTORS}
"""

Batches = Iterator[pa.RecordBatch]


def predict_frame(features: DataFrame, head: SoftmaxHead, temperature: float | Column, count: int) -> DataFrame:
    """Predicts rows that all have features, lazily: like `prediction.predict_features`.

    `probabilities` has the `count` largest, and the sum of the others, if there are any, under `OTHERS`. Of many
    labels, ancestors have the probabilities of the `TOP` most probable ones, as in a cross-fit.
    """
    tempered = features.withColumn(_TEMPERATURE, temperature if isinstance(temperature, Column) else F.lit(temperature))
    open_head = send_head(features.sparkSession, head)

    def predict(batches: Batches) -> Batches:
        answer = _make_answers(open_head(), count)
        for batch in cut_batches(batches):
            yield answer(batch.drop_columns(_TEMPERATURE), batch[_TEMPERATURE].to_numpy())

    return tempered.mapInArrow(predict, _replace_features(features.schema))


def predict_stored(
    stored: StoredRows,
    columns: Sequence[str],
    head: SoftmaxHead,
    temperatures: float | Mapping[date, float],
    count: int,
) -> pa.Table | DataFrame:
    """Like `predict_frame`, of columns of stored rows, whose vectors the JVM does not read; see `map_columns`.

    Args:
        stored: with the columns and `features`; the answer of a row without features is null.
        columns: columns to keep, among them `day` if the temperatures are those of days.
        head: the head.
        temperatures: of the answers, the same for all or by day.
        count: labels that `probabilities` lists.
    """
    names, open_head = [*columns, "features"], send_head(stored.spark, head)

    def predict(batches: Batches) -> Batches:
        answer = _make_answers(open_head(), count)
        for batch in cut_batches(batches):
            if isinstance(temperatures, Mapping):
                tempered = np.array([temperatures[day] for day in batch["day"].to_pylist()])
            else:
                tempered = np.full(len(batch), temperatures)
            yield answer(batch, tempered)

    schema = _replace_features(StructType([stored.schema[name] for name in names]))
    return map_columns(stored, names, predict, schema, DRIVER_SHARES // len(head.labels))


def cut_batches(batches: Batches) -> Batches:
    """Cuts batches into pieces of at most `BLOCK_ROWS`."""
    for batch in batches:
        for start in range(0, batch.num_rows, BLOCK_ROWS):
            yield batch.slice(start, BLOCK_ROWS)


def _replace_features(schema: StructType) -> StructType:
    kept = [field for field in schema if field.name != "features"]
    return StructType([*kept, *parse_schema(_ADDED).fields])


def _make_answers(head: SoftmaxHead, count: int) -> Callable[[pa.RecordBatch, np.ndarray], pa.RecordBatch]:
    """A function from a batch and a temperature for each row to the batch with `_ADDED` in the place of features."""
    names, depths, added_names = pa.array(head.labels), list_depths(head.labels), parse_schema(_ADDED).names

    def describe(features: pa.Array, temperatures: np.ndarray) -> list[pa.Array]:
        shares = head.predict(features)
        softened = shares if (temperatures == 1).all() else soften(shares, temperatures[:, None])
        return [
            names.take(pa.array(shares.argmax(axis=1))),
            pa.array(softened.max(axis=1)),
            _list_labels(softened, names, count),
            _find_ancestors(softened, depths, head.is_many),
        ]

    def answer(batch: pa.RecordBatch, temperatures: np.ndarray) -> pa.RecordBatch:
        features, kept = batch["features"], batch.drop_columns("features")
        is_known = features.is_valid().to_numpy(zero_copy_only=False)
        added = describe(features.drop_null(), temperatures[is_known])
        if not is_known.all():
            places = pa.array(np.cumsum(is_known) - 1, mask=~is_known)
            added = [column.take(places) for column in added]
        return pa.RecordBatch.from_arrays([*kept.columns, *added], [*kept.schema.names, *added_names])

    return answer


def _list_labels(shares: np.ndarray, names: pa.Array, count: int) -> pa.MapArray:
    if len(names) <= count:
        keys, listed = np.broadcast_to(np.arange(len(names)), shares.shape), shares
    else:
        places = top_places(shares, count)
        top = np.take_along_axis(shares, places, axis=1)
        listed = np.column_stack([top, np.maximum(0, 1 - top.sum(axis=1))])
        keys = np.column_stack([places, np.full(len(places), len(names))])
    offsets = pa.array(np.arange(len(keys) + 1) * keys.shape[1], pa.int32())
    texts = pa.concat_arrays([names, pa.array([OTHERS])]).take(pa.array(keys.ravel()))
    return pa.MapArray.from_arrays(offsets, texts, pa.array(listed.ravel()))


def _find_ancestors(shares: np.ndarray, depths: Sequence[Depth], is_many: bool) -> pa.ListArray:
    """Finds the most probable ancestor at each depth, the deepest first, as `hierarchy.find_ancestors` does."""
    found: list[list[dict[str, object]]] = [[] for _ in shares]
    for depth in depths:
        for row, best, confidence in zip(found, *_find_best(shares, depth, is_many), strict=True):
            row.append({"depth": depth.depth, "label": depth.ancestors[best], "confidence": float(confidence)})
    return pa.array(found, pa.list_(_ANCESTOR))


def _find_best(shares: np.ndarray, depth: Depth, is_many: bool) -> tuple[np.ndarray, np.ndarray]:
    if is_many:
        places = top_places(shares, TOP)
        return find_best_of_top(np.take_along_axis(shares, places, axis=1), places, depth)
    sums = sum_members(shares, depth)
    return sums.argmax(axis=1), sums.max(axis=1)
