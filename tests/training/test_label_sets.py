"""Classifiers of sets: one regression for each label, on the driver and by MLlib, calibrated and stored."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.daily.day_samples import predict_samples
from pipeline.embed.file_kinds import DECODER
from pipeline.evaluation.set_calibration import soften_sets
from pipeline.evaluation.set_predictions import SetPredictions
from pipeline.images.label_sets import EMPTY, deny
from pipeline.images.split import HOLDOUT, TRAIN
from pipeline.similarity.samples import sample_days
from pipeline.training import cross_fit as module
from pipeline.training.classifier import Classifier, predict, predict_holdout
from pipeline.training.classifier_fit import fit_classifier
from pipeline.training.classifier_report import describe_classifier
from pipeline.training.cross_fit import cross_fit
from pipeline.training.fitting import fit_pipeline
from pipeline.training.graph.head import refuse_head
from pipeline.training.heads import HeadError
from pipeline.training.params import ClassifierParams
from pipeline.training.training_set import TrainingError

pytestmark = pytest.mark.slow  # regressions by MLlib
SETS = (EMPTY, "strong", "strong;warm", "warm")
PARAMS = ClassifierParams("yes_no", params={"maxIter": 20}, calibration_folds=3)
CONVERGED = ClassifierParams("yes_no", params={"maxIter": 300, "tol": 1e-9}, calibration_folds=2)
COUNT, DIMENSION = 240, 8


@pytest.fixture(scope="module")
def features(spark: SparkSession) -> DataFrame:
    """Images of four sets, whose two labels move the features independently."""
    random = np.random.default_rng(3)
    numbers = np.arange(COUNT) % 4
    moved = np.column_stack([np.isin(numbers, (1, 2)), np.isin(numbers, (2, 3))]) @ random.normal(
        0, 1.5, (2, DIMENSION)
    )
    columns = {
        "image_id": [f"{number:064}" for number in range(COUNT)],
        "label": [SETS[number] for number in numbers],
        "split": [HOLDOUT if number % 5 == 0 else TRAIN for number in range(COUNT)],
        "features": pa.array(list((moved + random.normal(0, 1, moved.shape)).astype(np.float32))),
        "backbone": ["b"] * COUNT,
        "decoder": [DECODER] * COUNT,
        "group": [f"{number // 8}" for number in range(COUNT)],
    }
    return spark.createDataFrame(pa.table(columns)).coalesce(1).cache()


@pytest.fixture(scope="module")
def classifier(features: DataFrame) -> Classifier:
    return fit_classifier(features, PARAMS)


def test_every_label_is_a_question_of_its_own(classifier: Classifier) -> None:
    assert classifier.labels == ["strong", "warm"]
    assert classifier.report["accuracy"] > 0.7
    assert classifier.report["promises"].keys() == {"strong", "warm", deny("strong"), deny("warm")}
    assert all(isinstance(level, SetPredictions) for level in classifier.cross_fits)
    assert refuse_head(classifier.model) == "sets of labels have no ONNX file"
    page = describe_classifier(classifier)
    assert page.tables["promises"].count("strong") == 2
    assert "whole sets that are right" in page.tables["scores"]


def test_spark_and_the_driver_predict_the_same(features: DataFrame, classifier: Classifier) -> None:
    found = {row["image_id"]: row for row in predict(features.where(F.col("split") == HOLDOUT), classifier).collect()}
    holdout = predict_holdout(features, classifier)
    assert holdout.confidence.tolist() == pytest.approx([found[each]["confidence"] for each in holdout.image_ids])
    assert holdout.predicted.tolist() == [found[each]["predicted_label"] for each in holdout.image_ids]
    raw = predict_holdout(features, Classifier("v", "b", classifier.model, {"decoder": DECODER}))
    softened = soften_sets(raw, classifier.temperatures)
    assert softened.probabilities == pytest.approx(holdout.probabilities)


def test_the_sample_of_a_day_is_calibrated_as_the_cross_fits_are(
    spark: SparkSession, features: DataFrame, classifier: Classifier
) -> None:
    day = date(2026, 11, 20)
    columns = {"day": F.lit(day), "error": F.lit(None).cast("string"), "quality_flags": F.array().cast("array<string>")}
    sampled = sample_days(features.withColumns(columns).toArrow(), 40, "b", DECODER)
    sample = predict_samples(spark, sampled, classifier)[day]
    predicted = {row["image_id"]: row["confidence"] for row in predict(features, classifier).collect()}
    assert sample.confidence.tolist() == pytest.approx(
        [predicted[each] for each in sampled[str(day)]["image_id"].to_pylist()]
    )
    assert sample.image_count == COUNT


def test_plain_spark_reads_the_answers_from_the_stored_pipeline(
    features: DataFrame, classifier: Classifier, tmp_path: Path
) -> None:
    classifier.model.write().save(str(tmp_path / "model"))
    vectors = features.limit(8).withColumn("embedding", array_to_vector("features"))
    rows = PipelineModel.load(str(tmp_path / "model")).transform(vectors).select("answer_0", "answer_1").collect()
    assert {row["answer_0"] for row in rows} == {"strong", deny("strong")}
    assert {row["answer_1"] for row in rows} == {"warm", deny("warm")}


def test_the_driver_fits_folds_like_mllib(features: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    train = features.where(F.col("split") == TRAIN)
    (ours,) = cross_fit(train, CONVERGED, shelf_counts=())
    monkeypatch.setattr(module, "MAX_VALUES", 1)
    (theirs,) = cross_fit(train, CONVERGED, shelf_counts=())
    places = [np.argsort(each.image_ids) for each in (ours, theirs)]
    assert ours.image_ids[places[0]].tolist() == theirs.image_ids[places[1]].tolist()
    assert ours.probabilities[places[0]] == pytest.approx(theirs.probabilities[places[1]], abs=1e-3)


@pytest.mark.parametrize(
    ("rare", "others", "sentence"),
    [
        ("strong;torn", "strong", "'strong' holds for 192 of the 192 usable images of the train split"),
        ("torn", EMPTY, "'torn' holds for 6 of the 192 usable images of the train split"),
    ],
)
def test_a_question_with_too_few_answers_is_refused(features: DataFrame, rare: str, others: str, sentence: str) -> None:
    label = F.when(F.col("image_id") < f"{8:064}", rare).otherwise(others)
    with pytest.raises(TrainingError, match=sentence):
        fit_classifier(features.withColumn("label", label), PARAMS)


def test_a_grid_is_refused(features: DataFrame) -> None:
    with pytest.raises(HeadError, match="the head yes_no has no grid"):
        fit_pipeline(features, ClassifierParams("yes_no", grid={"regParam": [0.1]}))
