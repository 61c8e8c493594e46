"""The model of sets: an MLlib pipeline with one binary logistic regression for each label, over the same vector."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from pyspark.ml import Estimator, Pipeline, PipelineModel, Transformer
from pyspark.ml.feature import IndexToString
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.evaluation.calibration import TINY
from pipeline.evaluation.hierarchy import find_ancestors
from pipeline.evaluation.set_predictions import SetPredictions, predict_sets
from pipeline.images.label_sets import EMPTY, SEPARATOR, deny, list_labels
from pipeline.storage.counting import only_row
from pipeline.storage.vectors import to_matrix
from pipeline.training.heads import Head, HeadError, build_head
from pipeline.training.params import ClassifierParams

NEW_COLUMNS: Final = ("predicted_label", "confidence", "probabilities", "ancestors")
_ANSWER: Final = "answer_"


def fit_questions(
    train: DataFrame, vector_stages: list[Transformer | Estimator], params: ClassifierParams
) -> PipelineModel:
    """Fits one regression for each label of the sets in `label`.

    Behind the stages of the vector, the result has for each label, sorted, the regression and a stage that writes its
    answer: the label or its denial.

    Args:
        train: train split with `label` and `features`.
        vector_stages: stages from `embedding` to `vector`.
        params: parameters of the fit.

    Raises:
        HeadError: if there is no such parameter, or a search is asked for.
    """
    if params.grid or params.heads:
        raise HeadError(f"the head {params.head} has no grid and is compared with no other: set its params")
    vectors = train.withColumn("embedding", array_to_vector(F.col("features")))
    dimension = only_row(train.select(F.max(F.size("features"))))[0]
    head = build_head(params.head, params.params, dimension=dimension, class_count=2, seed=params.seed)
    first = Pipeline(stages=vector_stages).fit(vectors)
    prepared = first.transform(vectors).select("label", "vector").cache()
    try:
        return PipelineModel([*first.stages, *_fit_each(prepared, head)])
    finally:
        prepared.unpersist()


def _fit_each(vectors: DataFrame, head: Head) -> list[Transformer]:
    labels = list_labels(row["label"] for row in vectors.select("label").distinct().collect())
    stages: list[Transformer] = []
    for number, label in enumerate(labels):
        names = {f"{name}Col": f"{name}_{number}" for name in ("prediction", "probability", "rawPrediction")}
        estimator: Any = head.estimator.copy()
        for name, column in {**names, "labelCol": "holds"}.items():
            estimator.set(estimator.getParam(name), column)
        holds = F.array_contains(F.split("label", SEPARATOR), label).cast("double")
        stages.append(estimator.fit(vectors.withColumn("holds", holds)))
        stages.append(
            IndexToString(inputCol=names["predictionCol"], outputCol=f"{_ANSWER}{number}", labels=[deny(label), label])
        )
    return stages


@lru_cache(maxsize=4)
def find_questions(model: PipelineModel) -> tuple[str, ...] | None:
    """Lists the labels of a model of sets, in the order of their regressions; None for another model."""
    names = [stage for stage in model.stages if isinstance(stage, IndexToString)]
    if not names or not names[-1].getOutputCol().startswith(_ANSWER):
        return None
    return tuple(stage.getLabels()[1] for stage in names)


def predict_questions(predicted: DataFrame, labels: Sequence[str], temperatures: Mapping[str, float]) -> DataFrame:
    """Adds the `NEW_COLUMNS` to the result of the model.

    Args:
        predicted: result of the model.
        labels: its labels.
        temperatures: by label; 1 for those that are not listed.
    """
    shares = [
        _soften(F.get(vector_to_array(F.col(f"probability_{number}")), 1), temperatures.get(label, 1.0))
        for number, label in enumerate(labels)
    ]
    names, softened = F.array(*map(F.lit, labels)), predicted.withColumn("shares", F.array(*shares))
    held = F.array_join(F.filter(names, lambda label, place: F.get("shares", place) >= 0.5), SEPARATOR)
    confidence = F.aggregate("shares", F.lit(1.0), lambda total, share: total * F.greatest(share, 1 - share))
    return softened.withColumns(
        {
            "predicted_label": F.when(held == "", EMPTY).otherwise(held),
            "confidence": confidence,
            "probabilities": F.map_from_arrays(names, F.col("shares")),
            "ancestors": find_ancestors(F.array(), ()),
        }
    )


def collect_questions(predicted: DataFrame, labels: Sequence[str]) -> SetPredictions:
    """Collects predictions for labelled images on the driver, in the order of their digests.

    A label that the model lacks has probability 0.
    """
    shares = F.array(*(F.coalesce(F.col("probabilities")[label], F.lit(0.0)) for label in labels))
    rows = predicted.select("image_id", "label", shares.alias("shares")).toArrow().sort_by("image_id")
    ids, sets = (np.array(rows[name].to_pylist(), object) for name in ("image_id", "label"))
    return predict_sets(ids, sets, labels, to_matrix(rows["shares"], np.float64).reshape(len(ids), len(labels)))


def _soften(share: Column, temperature: float) -> Column:
    if temperature == 1:
        return share
    power, rest = (F.pow(F.greatest(each, F.lit(TINY)), F.lit(1 / temperature)) for each in (share, 1 - share))
    return power / (power + rest)
