"""Cross-fits: the driver's regressions predict like MLlib's, and what the driver cannot fit goes to MLlib."""

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.training import cross_fit as module
from pipeline.training.cross_fit import cross_fit, describe_levels, fits_on_driver, predict_fold, shelf_counts_of
from pipeline.training.fitting import fit_pipeline
from pipeline.training.params import ClassifierParams
from pipeline.training.prediction import collect_features
from pipeline.training.softmax.regression import fit_softmax

LABELS = ("blue", "green", "red", "a rare one")
CONVERGED = {"maxIter": 300, "tol": 1e-9}
COUNT, DIMENSION = 90, 12


def make_features(label_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Makes features of a ReLU, more than half of them zero, and label numbers.

    One feature is always zero, one is constant, and three images have no feature but zeros.
    """
    random = np.random.default_rng(5)
    numbers = np.arange(COUNT) % min(label_count, 3)
    centres = random.normal(-0.5, 1, (3, DIMENSION))
    features = np.maximum(centres[numbers] + random.normal(0, 1, (COUNT, DIMENSION)), 0).astype(np.float32)
    features[:, -1], features[:, -2], features[:3] = 0, 0.1, 0
    features[:3, -2] = 0.1
    if label_count > 3:
        numbers[0] = 3  # in one fold only
    assert (features == 0).mean() > 0.5
    return features, numbers


@pytest.fixture(scope="module", params=[2, 3, 4])
def train(request: pytest.FixtureRequest, spark: SparkSession) -> DataFrame:
    features, numbers = make_features(request.param)
    ids = [f"{number:03d}" for number in range(COUNT)]
    columns = {
        "image_id": pa.array(ids),
        "group": pa.array([f"{number // 2}" for number in range(COUNT)]),
        "label": pa.array([LABELS[number] for number in numbers]),
        "features": pa.array(list(features), pa.list_(pa.float32())),
    }
    return spark.createDataFrame(pa.table(columns)).coalesce(1).cache()


def predict_folds(train: DataFrame, params: ClassifierParams) -> tuple[LabelledPredictions, list[int]]:
    """Returns the predictions in the order of their images, and the reported progress."""
    progress: list[int] = []
    crossed, *_ = cross_fit(train, params, progress.append)
    order = np.argsort(crossed.image_ids)
    arrays = (each[order] for each in (crossed.image_ids, crossed.labels, crossed.predicted))
    return LabelledPredictions(*arrays, crossed.classes, crossed.probabilities[order]), progress


@pytest.mark.parametrize("normalization", ["l2", "standard", "none"])
def test_the_driver_predicts_like_mllib(train: DataFrame, normalization: str, monkeypatch: pytest.MonkeyPatch) -> None:
    params = ClassifierParams(normalization=normalization, params=CONVERGED, calibration_folds=3)
    found, progress = predict_folds(train, params)
    monkeypatch.setattr(module, "MAX_VALUES", 0)
    expected, same_progress = predict_folds(train, params)
    assert progress[:3] == same_progress == [1, 2, 3]
    assert found.classes == expected.classes
    assert found.image_ids.tolist() == expected.image_ids.tolist() == sorted(f"{n:03d}" for n in range(COUNT))
    assert found.labels.tolist() == expected.labels.tolist()
    assert found.predicted.tolist() == expected.predicted.tolist()
    assert found.probabilities == pytest.approx(expected.probabilities, abs=5e-4)
    assert len(set(found.predicted)) > 1


def test_one_fold_is_predicted_as_by_mllib_or_left_to_it(train: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    params = ClassifierParams(params=CONVERGED)
    folded = train.withColumn("fold", (F.col("group").cast("int") % 4 == 0).cast("int"))
    found = predict_fold(folded, 1, params)
    assert found is not None
    model, _ = fit_pipeline(folded.where("fold = 0"), params)
    expected = collect_features(folded.where("fold = 1"), model, found.classes)
    order, same = np.argsort(found.image_ids), np.argsort(expected.image_ids)
    assert found.image_ids[order].tolist() == expected.image_ids[same].tolist()
    assert found.predicted[order].tolist() == expected.predicted[same].tolist()
    assert found.is_right.mean() == expected.is_right.mean() > 0.5
    assert predict_fold(folded, 1, ClassifierParams("naive_bayes")) is None
    monkeypatch.setattr(module, "MAX_VALUES", 0)
    assert predict_fold(folded, 1, params) is None


@pytest.mark.parametrize("head", ["logistic_regression", "naive_bayes"])
def test_harder_levels_predict_every_image_and_keep_groups_in_one_fold(train: DataFrame, head: str) -> None:
    params = ClassifierParams(head, calibration_folds=3)
    levels = cross_fit(train, params, lambda _: None)
    assert len(levels) == 1 + len(shelf_counts_of(params))
    assert all(sorted(level.image_ids) == [f"{number:03d}" for number in range(COUNT)] for level in levels)
    described = describe_levels(levels, params)
    assert [each["shelf_count"] for each in described] == [0, *shelf_counts_of(params)]


def test_a_cross_fit_repeats_itself_to_the_last_bit_whatever_the_order_of_rows(train: DataFrame) -> None:
    first, _ = predict_folds(train, ClassifierParams())
    again, _ = predict_folds(train.orderBy("features").repartition(3), ClassifierParams())
    assert (first.probabilities == again.probabilities).all()


@pytest.mark.parametrize(
    ("params", "is_fitted"),
    [
        (ClassifierParams(), True),
        (ClassifierParams("logistic_regression", "standard", {"regParam": 0, "maxIter": 9.0, "tol": 1e-4}), True),
        (ClassifierParams(params={"elasticNetParam": 0.5}), False),
        (ClassifierParams(params={"standardization": False}), False),
        (ClassifierParams("naive_bayes"), False),
        (ClassifierParams("linear_svc"), False),
    ],
)
def test_only_what_the_driver_knows_is_fitted_there(params: ClassifierParams, is_fitted: bool) -> None:
    assert fits_on_driver(params) == is_fitted


@pytest.mark.parametrize("label_count", [2, 3])
def test_a_constant_feature_has_no_weight(label_count: int) -> None:
    features, numbers = make_features(label_count)
    regression = fit_softmax(features.astype(np.float64), numbers, 0.05, 50, 1e-6)
    weights = np.abs(regression.weights).max(axis=0)
    assert (weights[-2:] == 0).all()
    assert (weights[:-2] > 0).all()
    assert weights.max() < 10


def test_separable_labels_without_a_penalty_give_certain_but_finite_answers() -> None:
    vectors = np.array([[-1.0], [-2.0], [1.0], [2.0]])
    shares = fit_softmax(vectors, np.array([0, 0, 1, 1]), 0, 100, 1e-9).predict(1e6 * vectors)
    assert shares == pytest.approx(np.array([[1, 0], [1, 0], [0, 1], [0, 1]]))
