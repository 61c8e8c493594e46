"""Stored MLlib pipelines: opened from files of this machine, most without a Spark job.

MLlib's own reader starts two Spark jobs for each stage, one second of CPU for a classifier. The layout of the files is
MLlib's, the same in Spark 4.0 to 4.3. Spark reads the rarer heads.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
from pyspark.ml import PipelineModel, classification, feature
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.feature import IndexToString, Normalizer, StringIndexerModel, VectorAssembler
from pyspark.sql import SparkSession

from pipeline.storage.private import build_logistic_model
from pipeline.training.softmax.head import keep_regression
from pipeline.training.softmax.regression import SoftmaxRegression

DENSE: Final = 1  # type of a stored matrix or vector
_UNFITTED: Final[dict[str, Any]] = {each.__name__: each for each in (IndexToString, Normalizer, VectorAssembler)}


def open_pipeline(folder: Path) -> PipelineModel:
    """Opens a stored `PipelineModel`; the session must be a classic one.

    Raises:
        OSError, ValueError, LookupError or an error of Spark: if files are missing or damaged.
    """
    uids = _read_metadata(folder)["paramMap"]["stageUids"]
    width = len(str(len(uids)))
    return PipelineModel([_open_stage(folder / "stages" / f"{place:0{width}}_{uid}") for place, uid in enumerate(uids)])


def _open_stage(folder: Path) -> Any:
    metadata = _read_metadata(folder)
    name, params = metadata["class"].rpartition(".")[2], metadata["paramMap"]
    if name in _UNFITTED:
        return _UNFITTED[name](**params)
    if name == StringIndexerModel.__name__:
        (labels,) = pq.read_table(folder / "data")["labelsArray"][0].as_py()
        return _with_params(StringIndexerModel.from_labels(labels, params["inputCol"]), params)
    if name == LogisticRegressionModel.__name__ and (fitted := _read_softmax(folder / "data")):
        model = build_logistic_model(SparkSession.active(), fitted.weights, fitted.offsets, metadata["uid"])
        keep_regression(model, fitted)
        return _with_params(model, params)
    kind = getattr(classification, name, None) or getattr(feature, name)
    return kind.load(f"file://{folder}")  # Hadoop decodes no %20


def _read_softmax(folder: Path) -> SoftmaxRegression | None:
    """Reads the coefficients of a softmax; None of a model of two classes with one row, or with sparse weights."""
    table = pq.read_table(folder)
    matrix, offsets = (table[name].combine_chunks() for name in ("coefficientMatrix", "interceptVector"))
    kinds = {each.field("type")[0].as_py() for each in (matrix, offsets)}
    if not table["isMultinomial"][0].as_py() or kinds != {DENSE}:
        return None
    values = matrix.field("values").flatten().to_numpy()
    rows, columns, is_transposed = (matrix.field(name)[0].as_py() for name in ("numRows", "numCols", "isTransposed"))
    weights = values.reshape(rows, columns) if is_transposed else values.reshape(columns, rows).T
    return SoftmaxRegression(weights, offsets.field("values").flatten().to_numpy())


def _with_params(model: Any, params: Mapping[str, Any]) -> Any:
    for param, value in params.items():
        model.set(model.getParam(param), value)
    return model


def _read_metadata(folder: Path) -> dict[str, Any]:
    (file,) = (folder / "metadata").glob("part-*")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
