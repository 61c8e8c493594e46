"""The classifier: an MLlib pipeline from features to a label with its evaluation, and what it predicts.

Its fit is `classifier_fit.py`; it predicts only features of its own backbone and decoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.evaluation.calibration import UNCALIBRATED, Calibration
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.ranked import MANY
from pipeline.images.split import HOLDOUT
from pipeline.reports.queries import Rows, has_column, query
from pipeline.training.label_sets.model import find_questions
from pipeline.training.prediction import collect_features, labels_of, predict_features

PREDICTION_COLUMNS: Final = """
    predicted_label string comment 'most probable label, from image_features.features; null where there are none',
    confidence double comment 'calibrated probability of that label, 0 to 1, from image_features.features',
    probabilities map<string, double> comment 'of the likeliest labels, the rest under *; from image_features.features'
"""

EARLIER: Final = "an earlier version"


class ForeignFeaturesError(ValueError):
    """Features of another backbone or decoder than the classifier's; the text names both, and the cure."""


@dataclass(frozen=True)
class Classifier:
    """A fitted classifier with its evaluation.

    Attributes:
        version: digest of labels, split, parameters, library versions and backbone.
        backbone: digest of the graph whose features it reads.
        model: MLlib pipeline from `embedding` (vector) to `prediction` and `predicted_label`; not calibrated.
        report: contents of `evaluation.json`.
        cross_fits: result of `cross_fit`, not calibrated; empty if loaded, or fitted without.
        graph: file of `graph/end_to_end.py`, to be stored; None if loaded.
        training_set: result of `list_training_set`, to be stored; None if loaded.
    """

    version: str
    backbone: str
    model: PipelineModel
    report: dict[str, Any]
    cross_fits: tuple[LabelledPredictions, ...] = ()
    graph: bytes | None = field(default=None, repr=False, compare=False)
    training_set: pa.Table | None = field(default=None, repr=False, compare=False)

    @property
    def labels(self) -> list[str]:
        """Labels that it can predict, in the order of its probabilities."""
        return labels_of(self.model)

    @property
    def decoder(self) -> str:
        """Version of the decoder whose pixels it learned from; empty for a classifier that does not record it."""
        return str(self.report.get("decoder", ""))

    @property
    def calibration(self) -> Calibration:
        """Temperature and threshold; neutral for a classifier fitted before calibration existed."""
        stored = self.report.get("calibration")
        return Calibration.from_dict(stored) if stored else UNCALIBRATED

    @property
    def is_of_sets(self) -> bool:
        """Whether it answers a yes/no question about each label."""
        return find_questions(self.model) is not None

    @property
    def temperatures(self) -> dict[str, float]:
        """Temperature of each label of sets; empty for another classifier, or before it is calibrated."""
        return dict(self.report.get("temperatures", {}))


def predict_holdout(features: DataFrame, classifier: Classifier) -> LabelledPredictions:
    """Predicts the labelled holdout of these features; errors are those of `predict`."""
    holdout = features.where((F.col("split") == HOLDOUT) & F.col("label").isNotNull())
    checked, temperature = _check_origin(holdout, classifier), classifier.calibration.temperature
    return collect_features(checked, classifier.model, classifier.labels, temperature, classifier.temperatures)


def predict(features: DataFrame, classifier: Classifier) -> DataFrame:
    """Predicts every row that has features, lazily.

    Returns:
        The given columns without `features`, those of `PREDICTION_COLUMNS` and `ancestors`
        (`hierarchy.find_ancestors`); rows without features are left out.

    Raises:
        SparkRuntimeException: when run, if a row comes from another backbone or decoder.
    """
    return predict_at(features, classifier, classifier.calibration.temperature)


def predict_at(
    features: DataFrame, classifier: Classifier, temperature: float | Column, top_count: int = MANY
) -> DataFrame:
    """Like `predict`, by another temperature than its own, or by one for each row; 1 leaves probabilities as fitted.

    A classifier of sets always has its own ones.
    `probabilities` has the `top_count` largest, and the sum of the others, if there are any, under `OTHERS`.
    """
    checked = _check_origin(features, classifier)
    return predict_features(checked, classifier.model, temperature, top_count, classifier.temperatures)


def _check_origin(features: DataFrame, classifier: Classifier) -> DataFrame:
    """Keeps rows with features; one of another backbone or decoder than the classifier's raises an error when read."""
    answerable = features.where(F.col("features").isNotNull())
    return answerable.withColumn("features", _refuse_foreign(answerable.columns, classifier))


def _refuse_foreign(columns: Sequence[str], classifier: Classifier) -> Column:
    """The features, or an error at a row of another backbone or decoder than the classifier's."""
    start, end = _explain_backbone(classifier)
    backbone = F.concat(F.lit(start), F.col("backbone"), F.lit(end))
    checked = F.when(F.col("backbone") != classifier.backbone, F.raise_error(backbone).cast("array<float>"))
    if "decoder" in columns:
        start, end = _explain_decoder(classifier)
        decoder = F.concat(F.lit(start), F.coalesce("decoder", F.lit(EARLIER)), F.lit(end))
        is_foreign = ~F.coalesce("decoder", F.lit("")).eqNullSafe(classifier.decoder)
        checked = checked.when(is_foreign, F.raise_error(decoder).cast("array<float>"))
    return checked.otherwise(F.col("features"))


def check_origins(features: Rows, classifier: Classifier) -> None:
    """Checks that rows of `image_features` are of the backbone and decoder of the classifier, on the driver.

    Raises:
        ForeignFeaturesError: if one is not.
    """
    names = [name for name in ("backbone", "decoder") if has_column(features, name)]
    sql = f"SELECT DISTINCT {', '.join(names)} FROM features WHERE error IS NULL"  # noqa: S608 names of ours
    for row in query(sql, features=features):
        if row["backbone"] != classifier.backbone:
            raise ForeignFeaturesError((row["backbone"] or "none").join(_explain_backbone(classifier)))
        if "decoder" in row and (row["decoder"] or "") != classifier.decoder:
            raise ForeignFeaturesError((row["decoder"] or EARLIER).join(_explain_decoder(classifier)))


def _explain_backbone(classifier: Classifier) -> tuple[str, str]:
    """What is wrong with features of another backbone: the text before its digest, and after it."""
    end = (
        ": train with the current backbone (materialize the group training), or set DAYLIGHT_BACKBONE to the former one"
    )
    return f"the classifier expects features of {classifier.backbone}, but got ", end


def _explain_decoder(classifier: Classifier) -> tuple[str, str]:
    """What is wrong with features by another decoder: the text before its version, and after it."""
    own = classifier.decoder or EARLIER
    end = ": materialize the group training, and image_features of this day, so that both decode alike"
    return f"the classifier learned from images decoded by {own}, but these were by ", end
