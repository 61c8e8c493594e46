"""Predictions of many labels: a softmax regression that workers apply by NumPy, and whose largest answers they return.

MLlib multiplies image by image and returns every probability: 5,000 labels take 40 kB and 10 ms an image there.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.feature import IndexToString, Normalizer, StandardScalerModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from pipeline.evaluation.calibration import soften
from pipeline.evaluation.hierarchy import Depth, find_best_of_top, list_depths
from pipeline.evaluation.labelled_predictions import LabelledPredictions, from_table, index_labels
from pipeline.evaluation.ranked import MANY, OTHERS, TOP, rank, top_places
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.sent_arrays import open_sent, send_array
from pipeline.storage.vectors import to_matrix
from pipeline.training.softmax_regression import SoftmaxRegression

BLOCK_ROWS: Final = 256  # images whose probabilities are in memory at a time: 10 MB of 5,000 labels
_ANCESTORS: Final = "array<struct<depth: int, label: string, confidence: double>>"
_ANCESTOR: Final = pa.struct({"depth": pa.int32(), "label": pa.string(), "confidence": pa.float64()})
_TEMPERATURE: Final = "temperature of many labels"
_RANKED: Final = {
    **{"image_id": "string", "label": "string", "predicted_label": "string"},
    **{"probabilities": "array<double>", "places": "array<int>", "column": "int"},
}

Compute = Callable[[pa.RecordBatch], np.ndarray]
"""Probabilities of a batch of images, float64 `[n, k]`."""


@dataclass(frozen=True)
class ManyLabels:
    """A model with more than `MANY` labels, and the regression that it applies to features."""

    labels: list[str]
    regression: SoftmaxRegression
    is_normalized: bool  # whether features are scaled to length 1 first


@lru_cache(maxsize=2)
def find_many_labels(model: PipelineModel) -> ManyLabels | None:
    """Reads the coefficients of a softmax regression with more than `MANY` labels; None for another model."""
    *stages, head, decoder = model.stages
    labels = list(cast("IndexToString", decoder).getLabels())
    if len(labels) <= MANY or not isinstance(head, LogisticRegressionModel):
        return None
    weights, offsets = head.coefficientMatrix.toArray(), head.interceptVector.toArray()
    for stage in stages:
        if isinstance(stage, StandardScalerModel):
            deviations = stage.std.toArray()
            weights = weights * np.divide(1, deviations, out=np.zeros_like(deviations), where=deviations != 0)
            offsets = offsets - weights @ stage.mean.toArray()
    is_normalized = any(isinstance(stage, Normalizer) for stage in stages)
    return ManyLabels(labels, SoftmaxRegression(weights, offsets), is_normalized)


def predict_top(features: DataFrame, many: ManyLabels, temperature: float | Column, count: int) -> DataFrame:
    """Predicts rows that all have features, lazily: like `prediction.predict_features`.

    `probabilities` has the `count` largest, and the sum of the others under `OTHERS`. Ancestors have those of the `TOP`
    most probable labels, as in a cross-fit.
    """
    tempered = features.withColumn(_TEMPERATURE, temperature if isinstance(temperature, Column) else F.lit(temperature))
    added = f"predicted_label string, confidence double, probabilities map<string, double>, ancestors {_ANCESTORS}"
    schema = StructType([*features.schema.fields, *parse_schema(added).fields])
    names, kept, compute = pa.array(many.labels), features.columns, _send(features, many)
    depths = list_depths(many.labels)

    def predict(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in _cut(batches):
            shares = compute(batch)
            places = top_places(shares, max(count, TOP))
            ancestors = _find_ancestors(shares, places[:, :TOP], depths)
            places = places[:, :count]
            top = np.take_along_axis(shares, places, axis=1)
            listed = np.column_stack([top, np.maximum(0, 1 - top.sum(axis=1))])
            keys = np.column_stack([places, np.full(len(places), len(names))])
            offsets = pa.array(np.arange(len(keys) + 1) * keys.shape[1], pa.int32())
            texts = pa.concat_arrays([names, pa.array([OTHERS])]).take(pa.array(keys.ravel()))
            shown = pa.MapArray.from_arrays(offsets, texts, pa.array(listed.ravel()))
            arrays = [
                *map(batch.column, kept),
                names.take(pa.array(places[:, 0])),
                pa.array(top[:, 0]),
                shown,
                ancestors,
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema.names)

    return tempered.mapInArrow(predict, schema)


def collect_ranked(
    labelled: DataFrame, many: ManyLabels, classes: Sequence[str], temperature: float
) -> LabelledPredictions:
    """Predicts labelled images, and collects ranked probabilities on the driver, in the order of their digests.

    Args:
        labelled: with `image_id`, `label` and `features`, which none lacks.
        many: the model.
        classes: classes of the result, among which are the labels of the model.
        temperature: temperature of the probabilities.
    """
    known = index_labels(np.array(many.labels, object), classes)
    wanted = labelled.select("image_id", "label", "features", F.lit(temperature).alias(_TEMPERATURE))
    schema = ", ".join(f"{name} {kind}" for name, kind in _RANKED.items())
    names, compute = pa.array(classes), _send(labelled, many)

    def predict(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in _cut(batches):
            own = pc.fill_null(pc.index_in(batch["label"], names), -1).to_numpy(zero_copy_only=False)
            all_shares = np.zeros((batch.num_rows, len(names)))
            all_shares[:, known] = compute(batch)
            shares, places, columns = rank(all_shares, own)
            arrays = [batch["image_id"], batch["label"], names.take(pa.array(places[:, 0]))]
            arrays += [pa.array(list(shares)), pa.array(list(places)), pa.array(columns)]
            yield pa.RecordBatch.from_arrays(arrays, list(_RANKED))

    return from_table(wanted.mapInArrow(predict, schema).toArrow().sort_by("image_id"), classes)


def _find_ancestors(shares: np.ndarray, places: np.ndarray, depths: Sequence[Depth]) -> pa.ListArray:
    """Finds the most probable ancestor at each depth, the deepest first, as `hierarchy.find_ancestors` does."""
    kind, top = pa.list_(_ANCESTOR), np.take_along_axis(shares, places, axis=1)
    found: list[list[dict[str, object]]] = [[] for _ in shares]
    for depth in depths:
        for row, best, confidence in zip(found, *find_best_of_top(top, places, depth), strict=True):
            row.append({"depth": depth.depth, "label": depth.ancestors[best], "confidence": float(confidence)})
    return pa.array(found, kind)


def _cut(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, BLOCK_ROWS):
            yield batch.slice(start, BLOCK_ROWS)


def _send(features: DataFrame, many: ManyLabels) -> Compute:
    """Sends the coefficients to the workers, and returns their function."""
    spark, is_normalized = features.sparkSession, many.is_normalized
    sent = send_array(spark, many.regression.weights), send_array(spark, many.regression.offsets)

    def compute(batch: pa.RecordBatch) -> np.ndarray:
        vectors = to_matrix(batch["features"], np.float64)
        if is_normalized:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors /= np.where(lengths > 0, lengths, 1)
        shares = SoftmaxRegression(*map(open_sent, sent)).predict(vectors)
        temperatures = batch[_TEMPERATURE].to_numpy()
        return shares if (temperatures == 1).all() else soften(shares, temperatures[:, None])

    return compute
