"""Fitting: the stages of the MLlib pipeline from a vector to a label, and the grid search for the head's parameters."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, cast

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
from pipeline.evaluation.hierarchy import find_ancestors
from pipeline.evaluation.labelled_predictions import LabelledPredictions, collect_predictions, rank_predictions
from pipeline.evaluation.ranked import MANY, OTHERS
from pipeline.storage.counting import only_row
from pipeline.training.heads import AUTO, YES_NO, Head, Normalization, Number, build_head, head_params
from pipeline.training.label_sets import model as sets
from pipeline.training.many_labels import collect_ranked, find_many_labels, predict_top

NO_TEMPERATURES: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True)
class ClassifierParams:
    """Parameters of a training.

    Attributes:
        head: one of `heads.HeadName`; `settle_head` replaces `auto`.
        normalization: normalization of the vector before the head.
        params: MLlib parameters of the head by name, which override its defaults.
        grid: values by parameter; cross-validation tries every combination, and the best one is fitted on all rows.
        folds: folds of the cross-validation.
        seed: seed of the whole training.
        target_precision: minimum precision of auto-accepted predictions, 0 to 1; the others go to review.
        calibration_folds: folds of the cross-fit that calibrates confidences.
        heads: heads to compare, each with its grid, in place of `head`, `params` and `grid`; the best one is fitted.
    """

    head: str = "logistic_regression"
    normalization: Normalization = "l2"
    params: Mapping[str, Number] = field(default_factory=dict)
    grid: Mapping[str, Sequence[Number]] = field(default_factory=dict)
    folds: int = 3
    seed: int = 20260101
    target_precision: float = 0.95
    calibration_folds: int = 5
    heads: Mapping[str, Mapping[str, Sequence[Number]]] = field(default_factory=dict)


def settle_head(params: ClassifierParams, label_count: int) -> ClassifierParams:
    """Chooses the head for `auto`: in closed form for more than `MANY` labels, whose cost hardly grows with them."""
    if params.head != AUTO:
        return params
    return replace(params, head="logistic_regression" if label_count <= MANY else "linear_discriminant")


def resolve_params(params: ClassifierParams) -> dict[str, Any]:
    """Converts to plain values and adds the defaults of the head; existing versions know no `heads`."""
    plain = {**asdict(params), "params": head_params(params.head, params.params)}
    return plain if params.heads else {name: value for name, value in plain.items() if name != "heads"}


def count_fits(params: ClassifierParams) -> int:
    """Counts the pipelines that `fit_pipeline` fits."""
    grids = params.heads.values() if params.heads else [params.grid] if params.grid else []
    return max(1, len(params.heads)) + params.folds * sum(math.prod(map(len, grid.values())) for grid in grids)


def settle_search(params: ClassifierParams, chosen: Mapping[str, Any]) -> ClassifierParams:
    """Replaces a search by what it chose."""
    best = {name: value for name, value in chosen.get("best", {}).items() if name != "accuracy"}
    if params.heads:
        return replace(params, head=best.pop("head"), params=best, grid={}, heads={})
    return replace(params, params={**params.params, **best}, grid={})


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


def labels_of(model: PipelineModel) -> list[str]:
    """Lists the labels that a model can predict, in the order of its probabilities."""
    if questions := sets.find_questions(model):
        return list(questions)
    return list(cast("IndexToString", model.stages[-1]).getLabels())


def predict_features(
    features: DataFrame,
    model: PipelineModel,
    temperature: float | Column = 1.0,
    top_count: int = MANY,
    temperatures: Mapping[str, float] = NO_TEMPERATURES,
) -> DataFrame:
    """Predicts rows that all have features, lazily.

    Appends the columns of `classifier.PREDICTION_COLUMNS`, and `ancestors` as `find_ancestors` returns them.
    `probabilities` has the `top_count` largest, and the sum of the others, if there are any, under `OTHERS`. A model of
    sets has its own temperature for each label, and lists all.
    """
    if questions := sets.find_questions(model):
        found = sets.predict_questions(_transform(features, model), questions, temperatures)
        return found.select(*features.columns, *sets.NEW_COLUMNS)
    if many := find_many_labels(model):
        return predict_top(features, many, temperature, top_count)
    labels, predicted = labels_of(model), _transform(features, model)
    softened = predicted.withColumn("probability", soften_column(_probabilities(model), temperature))
    return softened.select(
        *features.columns,
        "predicted_label",
        F.array_max("probability").alias("confidence"),
        _map_labels(labels, F.col("probability"), top_count).alias("probabilities"),
        find_ancestors(F.col("probability"), labels).alias("ancestors"),
    )


def _transform(features: DataFrame, model: PipelineModel) -> DataFrame:
    size = {"ml_attr": {"num_attrs": _dimension(model)}}  # else MLlib reads the first row, and fails without one
    return model.transform(
        features.withColumn("embedding", array_to_vector(F.col("features")).alias("e", metadata=size))
    )


def _map_labels(labels: Sequence[str], probabilities: Column, top_count: int) -> Column:
    names = F.array(*map(F.lit, labels))
    if len(labels) <= top_count:
        return F.map_from_arrays(names, probabilities)
    falling = F.array_sort(F.transform(probabilities, lambda share, n: F.struct((-share).alias("less"), n.alias("n"))))
    top = F.slice(falling, 1, top_count)
    keys = F.transform(top, lambda each: F.element_at(names, each["n"] + 1))
    shares = F.transform(top, lambda each: -each["less"])
    rest = F.greatest(F.lit(0.0), 1 - F.aggregate(shares, F.lit(0.0), lambda sum_, share: sum_ + share))
    return F.map_from_arrays(F.concat(keys, F.array(F.lit(OTHERS))), F.concat(shares, F.array(rest)))


def collect_features(
    labelled: DataFrame,
    model: PipelineModel,
    classes: Sequence[str],
    temperature: float = 1.0,
    temperatures: Mapping[str, float] = NO_TEMPERATURES,
) -> LabelledPredictions:
    """Predicts labelled rows that all have features, on the driver, in the order of their digests.

    Probabilities of more than `MANY` classes are ranked. The classes are those of the result.
    """
    if sets.find_questions(model):
        return sets.collect_questions(predict_features(labelled, model, temperatures=temperatures), classes)
    if many := find_many_labels(model):
        return collect_ranked(labelled, many, classes, temperature)
    return rank_predictions(collect_predictions(predict_features(labelled, model, temperature, len(classes)), classes))


def _dimension(model: PipelineModel) -> int:
    head: Any = model.stages[-2]
    return int((head.models[0] if isinstance(head, OneVsRestModel) else head).numFeatures)


def _probabilities(model: PipelineModel) -> Column:
    """Probabilities in the order of the labels; of one-vs-rest, the normalized sigmoids of the margins."""
    if not isinstance(model.stages[-2], OneVsRestModel):
        return vector_to_array(F.col("probability"))
    floor = F.lit(-700.0)  # its sigmoid is above 0, and so is the total
    margins = vector_to_array(F.col("rawPrediction"))
    shares = F.transform(margins, lambda margin: 1 / (1 + F.exp(-F.greatest(margin, floor))))
    total = F.aggregate(shares, F.lit(0.0), lambda sum_, share: sum_ + share)
    return F.transform(shares, lambda share: share / total)
