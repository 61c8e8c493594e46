"""Predictions of a fitted pipeline: labels and probabilities of rows with features, as a frame or on the driver.

Which features a classifier accepts, and its calibration, are `classifier.py`.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, cast

from pyspark.ml import PipelineModel
from pyspark.ml.classification import OneVsRestModel
from pyspark.ml.feature import IndexToString
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.evaluation.calibration import soften_column
from pipeline.evaluation.hierarchy import find_ancestors
from pipeline.evaluation.labelled_predictions import LabelledPredictions, collect_predictions, rank_predictions
from pipeline.evaluation.ranked import MANY, OTHERS
from pipeline.training.label_sets import model as sets
from pipeline.training.softmax.answers import predict_frame
from pipeline.training.softmax.head import find_softmax_head
from pipeline.training.softmax.many_labels import collect_ranked

NO_TEMPERATURES: Final[Mapping[str, float]] = MappingProxyType({})


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

    Replaces `features` by the columns of `classifier.PREDICTION_COLUMNS`, and `ancestors` as `find_ancestors` returns
    them.
    `probabilities` has the `top_count` largest, and the sum of the others, if there are any, under `OTHERS`. A model of
    sets has its own temperature for each label, and lists all.
    """
    kept = [name for name in features.columns if name != "features"]
    if questions := sets.find_questions(model):
        found = sets.predict_questions(_transform(features, model), questions, temperatures)
        return found.select(*kept, *sets.NEW_COLUMNS)
    if softmax := find_softmax_head(model):
        return predict_frame(features, softmax, temperature, top_count)
    labels, predicted = labels_of(model), _transform(features, model)
    softened = predicted.withColumn("probability", soften_column(_probabilities(model), temperature))
    return softened.select(
        *kept,
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
    if (softmax := find_softmax_head(model)) and softmax.is_many:
        return collect_ranked(labelled, softmax, classes, temperature)
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
