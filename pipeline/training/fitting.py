"""Fitting: the stages of the MLlib pipeline from a vector to a label, and the search for a head and its parameters."""

import itertools
from dataclasses import replace
from typing import Any, cast

from pyspark.ml import Estimator, Pipeline, PipelineModel, Transformer
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.feature import (
    IndexToString,
    Normalizer,
    StandardScaler,
    StringIndexer,
    StringIndexerModel,
    VectorAssembler,
)
from pyspark.ml.functions import array_to_vector
from pyspark.ml.tuning import CrossValidator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.storage.counting import only_row
from pipeline.training.heads import YES_NO, Head, Normalization, build_head
from pipeline.training.label_sets import model as sets
from pipeline.training.params import ClassifierParams


def fit_pipeline(
    train: DataFrame, params: ClassifierParams, is_search: bool = False
) -> tuple[PipelineModel, dict[str, Any]]:
    """Fits the pipeline, by cross-validation if there is a grid, and returns what it tried and chose.

    Args:
        train: train split with `label`, `features`, and `group` if there is a search.
        params: parameters of the fit.
        is_search: whether to cross-validate even a single combination.

    Raises:
        HeadError: if there is no such head or parameter.
    """
    if params.head == YES_NO or YES_NO in params.heads:
        return sets.fit_questions(train, _vector_stages(params.normalization), params), {}
    if params.heads:
        return _compare_heads(train, params)
    vectors = train.withColumn("embedding", array_to_vector(F.col("features")))
    indexer = StringIndexer(inputCol="label", outputCol="label_index", stringOrderType="alphabetAsc").fit(vectors)
    dimension = only_row(train.select(F.max(F.size("features"))))[0]
    classes = len(indexer.labels)
    head = build_head(params.head, params.params, dimension=dimension, class_count=classes, seed=params.seed)
    decoder = IndexToString(inputCol="prediction", outputCol="predicted_label", labels=indexer.labels)
    pipeline = Pipeline(stages=[indexer, *_vector_stages(params.normalization), head.estimator, decoder])
    if is_search or params.grid:
        model, chosen = _search(pipeline, head, vectors, params)
    else:
        model, chosen = pipeline.fit(vectors), {}
    cast("StringIndexerModel", model.stages[0]).setHandleInvalid("keep")  # the holdout may have unknown labels
    return model, chosen


def _vector_stages(normalization: Normalization) -> list[Transformer | Estimator]:
    if normalization == "none":
        return [VectorAssembler(inputCols=["embedding"], outputCol="vector")]
    scaler = Normalizer() if normalization == "l2" else StandardScaler(withMean=True)
    assembler = VectorAssembler(inputCols=["embedding"], outputCol="assembled")
    return [assembler, scaler.setInputCol("assembled").setOutputCol("vector")]


def _search(
    pipeline: Pipeline, head: Head, vectors: DataFrame, params: ClassifierParams
) -> tuple[PipelineModel, dict[str, Any]]:
    """Cross-validates all combinations; near-duplicates share a fold, and an image never changes its fold."""
    combinations = [dict(zip(params.grid, values, strict=True)) for values in itertools.product(*params.grid.values())]
    fold = F.pmod(F.xxhash64("group"), F.lit(params.folds)).cast("int")
    search = CrossValidator(
        estimator=pipeline,
        estimatorParamMaps=[dict(head.setting(*item) for item in each.items()) for each in combinations],
        evaluator=MulticlassClassificationEvaluator(labelCol="label_index", metricName="accuracy"),
        numFolds=params.folds,
        foldCol="fold",
    ).fit(vectors.withColumn("fold", fold))
    tried = [{**each, "accuracy": float(score)} for each, score in zip(combinations, search.avgMetrics, strict=True)]
    best = max(tried, key=lambda each: each["accuracy"])
    return cast("PipelineModel", search.bestModel), {"best": best, "tried": tried}


def _compare_heads(train: DataFrame, params: ClassifierParams) -> tuple[PipelineModel, dict[str, Any]]:
    """Fits each head by cross-validation; the most accurate one is chosen, of equal ones the first."""
    fits = {
        name: fit_pipeline(train, replace(params, head=name, params={}, grid=grid, heads={}), is_search=True)
        for name, grid in params.heads.items()
    }
    tried = [{"head": name, **each} for name, (_, chosen) in fits.items() for each in chosen["tried"]]
    best = max(tried, key=lambda each: each["accuracy"])
    return fits[best["head"]][0], {"best": best, "tried": tried}
