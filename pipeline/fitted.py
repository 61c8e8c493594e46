"""Fitted pipelines: what MLlib's model says of features, whichever head it has."""

from typing import cast

from pyspark.ml import PipelineModel
from pyspark.ml.classification import OneVsRestModel
from pyspark.ml.feature import IndexToString
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.calibration import soften_column


def labels_of(model: PipelineModel) -> list[str]:
    """The labels that a model can answer, in the order of its probabilities."""
    return list(cast("IndexToString", model.stages[-1]).getLabels())


def answer_features(features: DataFrame, model: PipelineModel, temperature: float = 1.0) -> DataFrame:
    """Answers rows that all have features, lazily.

    Args:
        features: with `features`.
        model: as `fit_pipeline` gives it.
        temperature: by which logits are divided.

    Returns:
        The columns given, with those of `classifier.ANSWER_COLUMNS` behind them.
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
