"""Many labels: a head in closed form, answers that are short whatever the number of labels, and pages that end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from pipeline.embed.file_kinds import DECODER
from pipeline.evaluation.ranked import MANY, OTHERS
from pipeline.training.classifier import Classifier, predict, predict_at, predict_holdout
from pipeline.training.classifier_fit import fit_classifier
from pipeline.training.classifier_report import describe_classifier
from pipeline.training.graph.parity import _compare_shares
from pipeline.training.linear_discriminant import add_vectors, fit_discriminant, no_moments
from pipeline.training.params import ClassifierParams, settle_head
from resources.lake.lake import Lake
from resources.models.store import ModelStore
from resources.spark.session import SparkResource

LABELS, PER_LABEL, DIMENSION = MANY + 10, 8, 24
KINDS = [f"kind {number:02}" for number in range(LABELS // 10)]
AUTO = ClassifierParams("auto", calibration_folds=2)


def name(number: int) -> str:
    """Labels are paths: ten articles of a kind."""
    return f"kind {number // 10:02}/label {number:03}"


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Images in the order of their labels; the first two of each label are its holdout."""
    random = np.random.default_rng(0)
    centres = np.repeat(random.normal(size=(LABELS, DIMENSION)), PER_LABEL, axis=0)
    return (centres + random.normal(0, 0.5, centres.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def features(spark: SparkSession, vectors: np.ndarray) -> DataFrame:
    count = len(vectors)
    columns = {
        "image_id": pa.array([f"{number:064x}" for number in range(count)]),
        "label": pa.array([name(number // PER_LABEL) for number in range(count)]),
        "split": pa.array(["holdout" if number % PER_LABEL < 2 else "train" for number in range(count)]),
        "features": pa.array(list(vectors), pa.list_(pa.float32())),
        "backbone": pa.array(["b"] * count),
        "decoder": pa.array([DECODER] * count),
    }
    return spark.createDataFrame(pa.table(columns)).cache()


@pytest.fixture(scope="module")
def classifier(features: DataFrame) -> Classifier:
    return fit_classifier(features, AUTO)


def test_the_discriminant_and_what_is_left_of_it_equal_those_of_scikit_learn(vectors: np.ndarray) -> None:
    labels = np.arange(len(vectors)) // PER_LABEL
    folds = np.arange(len(vectors)) % 2
    sums = [no_moments(LABELS, DIMENSION) for _ in range(2)]
    for fold in range(2):
        add_vectors(sums[fold], vectors[folds == fold], labels[folds == fold])
    for chosen, moments in ((folds >= 0, sums[0] + sums[1]), (folds == 1, sums[0] + sums[1] - sums[0])):
        expected = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2).fit(
            vectors[chosen].astype(np.float64), labels[chosen]
        )
        found = fit_discriminant(moments, 0.2).predict(vectors.astype(np.float64))
        np.testing.assert_allclose(found, expected.predict_proba(vectors.astype(np.float64)), atol=1e-9)


def test_equal_images_of_each_label_and_labels_without_images_give_finite_answers() -> None:
    moments = no_moments(3, 4)
    add_vectors(moments, np.eye(4)[[0, 0, 1, 1]], np.array([0, 0, 1, 1]))
    found = fit_discriminant(moments, 0.3).predict(np.eye(4))
    np.testing.assert_allclose(found[:2], [[1, 0, 0], [0, 1, 0]], atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_the_head_of_auto_follows_the_number_of_labels() -> None:
    assert settle_head(AUTO, MANY).head == "logistic_regression"
    assert settle_head(AUTO, MANY + 1).head == "linear_discriminant"
    chosen = ClassifierParams("naive_bayes")
    assert settle_head(chosen, MANY + 1) == chosen


def test_many_labels_are_learned_as_well_as_by_scikit_learn(classifier: Classifier, vectors: np.ndarray) -> None:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    labels, is_train = np.arange(len(vectors)) // PER_LABEL, np.arange(len(vectors)) % PER_LABEL >= 2
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3)
    reference.fit((vectors / lengths)[is_train], labels[is_train])
    expected = reference.score((vectors / lengths)[~is_train], labels[~is_train])
    assert classifier.report["params"]["head"] == "linear_discriminant"
    assert classifier.report["accuracy"] == pytest.approx(expected, abs=0.005)
    assert classifier.report["accuracy"] > 0.8


def test_the_model_is_one_of_mllib_that_predicts_the_same(features: DataFrame, classifier: Classifier) -> None:
    assert isinstance(classifier.model.stages[-2], LogisticRegressionModel)
    ours = {row["image_id"]: row for row in predict_at(features, classifier, 1.0, 5).collect()}
    plain = classifier.model.transform(features.withColumn("embedding", array_to_vector("features")))
    rows = plain.select("image_id", "predicted_label", vector_to_array("probability").alias("shares")).collect()
    labels = classifier.labels
    for row in rows:
        mine = ours[row["image_id"]]
        shares = dict(zip(labels, row["shares"], strict=True))
        assert mine["predicted_label"] == row["predicted_label"]
        assert mine["confidence"] == pytest.approx(max(row["shares"]), abs=1e-9)
        listed = {label: share for label, share in mine["probabilities"].items() if label != OTHERS}
        assert listed == pytest.approx({label: shares[label] for label in listed}, abs=1e-9)
        assert len(listed) == 5
        assert sum(mine["probabilities"].values()) == pytest.approx(1)
        (ancestor,) = mine["ancestors"]
        kinds = {kind: sum(v for each, v in shares.items() if each.startswith(f"{kind}/")) for kind in KINDS}
        assert ancestor["confidence"] <= kinds[ancestor["label"]] + 1e-9
        assert mine["confidence"] < 0.5 or ancestor["label"] == max(kinds, key=kinds.__getitem__)


def test_the_holdout_is_ranked_and_calibrated(features: DataFrame, classifier: Classifier) -> None:
    found, rows = predict_holdout(features, classifier), predict(features, classifier).collect()
    confidences = {row["image_id"]: row["confidence"] for row in rows}
    assert found.places is not None
    np.testing.assert_allclose(found.confidence, [confidences[image_id] for image_id in found.image_ids])
    assert found.is_right.mean() == classifier.report["accuracy"]
    assert classifier.report["reliability"]["calibration_error"] < 0.1
    assert classifier.report["levels"][0]["accuracy"] == pytest.approx(classifier.report["accuracy"], abs=0.1)


def test_a_stored_classifier_and_its_ranked_cross_fits_are_read_again(
    classifier: Classifier, features: DataFrame, tmp_path: Path, spark_resource: SparkResource
) -> None:
    store = ModelStore(lake=Lake(root=str(tmp_path)), spark=spark_resource)
    store.save("classifier", classifier)
    found = store.find_classifier("classifier")
    assert found.report == classifier.report
    wanted = predict(features.limit(20), classifier).collect()
    assert predict(features.limit(20), found).collect() == wanted
    for read, fitted in zip(store.read_cross_fits(classifier.version), classifier.cross_fits, strict=True):
        np.testing.assert_array_equal(read.image_ids, fitted.image_ids)
        np.testing.assert_array_equal(read.label_index, fitted.label_index)
        np.testing.assert_array_equal(read.probabilities, fitted.probabilities)


def test_the_page_shows_the_worst_labels_only(classifier: Classifier) -> None:
    tables = describe_classifier(classifier).tables
    assert all(table.count("\n") <= 40 for table in tables.values())
    lowest = min(each["f1"] for each in classifier.report["classes"].values())
    assert f"| {lowest:.3f} |" in tables["classes"].splitlines()[2]


def test_another_head_with_many_labels_is_ranked_too(features: DataFrame) -> None:
    params = replace(AUTO, head="naive_bayes", normalization="none")
    positive = features.withColumn("features", F.transform("features", lambda each: F.abs(each)))
    found = predict_holdout(positive, fit_classifier(positive, params))
    assert found.places is not None
    assert len(found) == 2 * LABELS


def test_a_graph_is_compared_on_the_labels_that_are_listed(spark: SparkSession) -> None:
    rows = [
        ([0.6, 0.3, 0.1], {"a": 0.6, "b": 0.3, OTHERS: 0.1}, "a"),
        ([0.5, 0.3, 0.2], {"a": 0.4, "b": 0.3, OTHERS: 0.3}, "b"),
        (None, {"a": 1.0}, "a"),
        ([1.0], {"a": 1.0}, "a"),
    ]
    joined = spark.createDataFrame(
        rows, "shares array<float>, probabilities map<string, double>, predicted_label string"
    )
    found = _compare_shares(joined, ["a", "b", "c"])
    assert (found["whole_count"], found["other_count"]) == (2, 1)
    assert found["max_difference"] == pytest.approx(0.1, abs=1e-6)
