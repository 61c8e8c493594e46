"""Fitting: the stages of the MLlib pipeline between a vector and a label, and the search for the head's parameters."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from pyspark.ml import Estimator, Pipeline, PipelineModel, Transformer
from pyspark.ml.classification import OneVsRestModel
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.feature import (
    IndexToString,
    Normalizer,
    StandardScaler,
    StringIndexer,
    StringIndexerModel,
    VectorAssembler,
)
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.tuning import CrossValidator
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.evaluation.calibration import soften_column
from pipeline.storage.counting import only_row
from pipeline.training.heads import Head, Normalization, Number, build_head, head_params


@dataclass(frozen=True)
class ClassifierParams:
    """What is fitted.

    Attributes:
        head: a name of `heads.HeadName`.
        normalization: of the vector before the head.
        params: MLlib parameters of the head by name, over its defaults.
        grid: values by parameter; every combination is tried by cross-validation, the best one is fitted on all.
        folds: of the cross-validation.
        seed: of everything random.
        target_precision: share of the answers given that shall be right, 0 to 1; the others go to review.
        calibration_folds: of the cross-fit by which confidences are calibrated.
    """

    head: str = "logistic_regression"
    normalization: Normalization = "l2"
    params: Mapping[str, Number] = field(default_factory=dict)
    grid: Mapping[str, Sequence[Number]] = field(default_factory=dict)
    folds: int = 3
    seed: int = 20260101
    target_precision: float = 0.95
    calibration_folds: int = 5


def resolve_params(params: ClassifierParams) -> dict[str, Any]:
    """All that was asked, with the head's own defaults spelled out, as plain values."""
    return {**asdict(params), "params": head_params(params.head, params.params)}


def count_fits(params: ClassifierParams) -> int:
    """How many pipelines `fit_pipeline` fits."""
    return 1 + (params.folds * math.prod(map(len, params.grid.values())) if params.grid else 0)


def fit_pipeline(train: DataFrame, params: ClassifierParams) -> tuple[PipelineModel, dict[str, Any]]:
    """Fits the pipeline, by cross-validation where there is a grid; says what was chosen, and what it scored."""
    vectors = train.withColumn("embedding", array_to_vector(F.col("features")))
    indexer = StringIndexer(inputCol="label", outputCol="label_index", stringOrderType="alphabetAsc").fit(vectors)
    dimension = only_row(train.select(F.max(F.size("features"))))[0]
    head = build_head(
        params.head, params.params, dimension=dimension, class_count=len(indexer.labels), seed=params.seed
    )
    answer = IndexToString(inputCol="prediction", outputCol="predicted_label", labels=indexer.labels)
    pipeline = Pipeline(stages=[indexer, *_vector_stages(params.normalization), head.estimator, answer])
    if params.grid:
        model, chosen = _search(pipeline, head, vectors, params)
    else:
        model, chosen = pipeline.fit(vectors), {}
    cast("StringIndexerModel", model.stages[0]).setHandleInvalid(
        "keep"
    )  # from here on it may meet labels that it was not fitted on
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
    """Cross-validation over all combinations; folds are told from the digest, so that they never move."""
    combinations = [dict(zip(params.grid, values, strict=True)) for values in itertools.product(*params.grid.values())]
    fold = F.pmod(F.xxhash64("image_id"), F.lit(params.folds)).cast("int")
    search = CrossValidator(
        estimator=pipeline,
        estimatorParamMaps=[dict(head.setting(*item) for item in each.items()) for each in combinations],
        evaluator=MulticlassClassificationEvaluator(labelCol="label_index", metricName="accuracy"),
        numFolds=params.folds,
        foldCol="fold",
    ).fit(vectors.withColumn("fold", fold))
    tried = [{**each, "accuracy": float(score)} for each, score in zip(combinations, search.avgMetrics, strict=True)]
    return cast("PipelineModel", search.bestModel), {
        "best": max(tried, key=lambda each: each["accuracy"]),
        "tried": tried,
    }


def labels_of(model: PipelineModel) -> list[str]:
    """The labels that a model can answer, in the order of its probabilities."""
    return list(cast("IndexToString", model.stages[-1]).getLabels())


def predict_features(features: DataFrame, model: PipelineModel, temperature: float = 1.0) -> DataFrame:
    """Answers rows that all have features, lazily.

    Args:
        features: with `features`.
        model: as `fit_pipeline` gives it.
        temperature: by which logits are divided.

    Returns:
        The columns given, with those of `classifier.PREDICTION_COLUMNS` behind them.
    """
    answers = model.transform(features.withColumn("embedding", array_to_vector(F.col("features"))))
    softened = answers.withColumn("probability", soften_column(_probabilities(model), temperature))
    return softened.select(
        *features.columns,
        "predicted_label",
        F.array_max("probability").alias("confidence"),
        F.map_from_arrays(F.array(*map(F.lit, labels_of(model))), F.col("probability")).alias("probabilities"),
    )


def _probabilities(model: PipelineModel) -> Column:
    """Probabilities in the order of the labels; one-vs-rest has margins, whose sigmoids are made to add up to 1."""
    if not isinstance(model.stages[-2], OneVsRestModel):
        return vector_to_array(F.col("probability"))
    least = F.lit(-700.0)  # whose sigmoid is still above 0, so that the total is
    shares = F.transform(
        vector_to_array(F.col("rawPrediction")), lambda margin: 1 / (1 + F.exp(-F.greatest(margin, least)))
    )
    total = F.aggregate(shares, F.lit(0.0), lambda sum_, share: sum_ + share)
    return F.transform(shares, lambda share: share / total)
