"""Stored MLlib pipelines: opened from files of this machine with Spark reading only what was fitted.

MLlib's own reader starts two Spark jobs for each stage, one second of CPU for a classifier. The layout of the files is
MLlib's, the same in Spark 4.0 to 4.3.
"""

import json
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
from pyspark.ml import PipelineModel, classification, feature
from pyspark.ml.feature import IndexToString, Normalizer, StringIndexerModel, VectorAssembler

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
        model = StringIndexerModel.from_labels(labels, params["inputCol"])
        for param, value in params.items():
            model.set(model.getParam(param), value)
        return model
    kind = getattr(classification, name, None) or getattr(feature, name)
    return kind.load(f"file://{folder}")  # Hadoop decodes no %20


def _read_metadata(folder: Path) -> dict[str, Any]:
    (file,) = (folder / "metadata").glob("part-*")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
