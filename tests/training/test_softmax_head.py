"""The softmax head: NumPy computes what MLlib's own model does, the same for an image in any batch."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import StoreRows, list_records
from pyspark.ml import PipelineModel
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.storage import picked_rows
from pipeline.training.fitting import fit_pipeline
from pipeline.training.label_sets.model import find_questions
from pipeline.training.params import ClassifierParams
from pipeline.training.softmax.answers import predict_stored
from pipeline.training.softmax.head import SoftmaxHead, find_softmax_head
from resources.models.pipelines import open_pipeline

DIMENSION = 24


@pytest.fixture(scope="module")
def features(spark: SparkSession) -> DataFrame:
    """120 images of three labels, of which one has no features, and one has zeros."""
    generator = np.random.default_rng(3)
    places = generator.normal(size=(3, DIMENSION))
    vectors = places[np.arange(120) % 3] + generator.normal(size=(120, DIMENSION))
    vectors[5] = 0
    rows = {
        "image_id": [f"{number:03}" for number in range(120)],
        "label": ["coat", "hat", "shoe"] * 40,
        "features": [None if number == 7 else vector.tolist() for number, vector in enumerate(vectors)],
    }
    schema = pa.schema({"image_id": pa.string(), "label": pa.string(), "features": pa.list_(pa.float32())})
    return spark.createDataFrame(pa.table(rows, schema)).cache()


def fit(features: DataFrame, params: ClassifierParams) -> PipelineModel:
    return fit_pipeline(features.where("features is not null"), params)[0]


def find(model: PipelineModel) -> SoftmaxHead:
    head = find_softmax_head(model)
    assert head is not None
    return head


def ask_mllib(features: DataFrame, model: PipelineModel) -> dict[str, tuple[str, list[float]]]:
    vectors = features.where("features is not null").withColumn("embedding", array_to_vector("features"))
    predicted = model.transform(vectors).select("image_id", "predicted_label", vector_to_array("probability"))
    return {image_id: (label, shares) for image_id, label, shares in predicted.collect()}


@pytest.mark.parametrize("normalization", ["l2", "standard", "none"])
@pytest.mark.parametrize(
    "labels", [pytest.param(("coat", "hat"), id="two"), pytest.param(("coat", "hat", "shoe"), id="three")]
)
def test_it_predicts_what_mllib_predicts(
    features: DataFrame, normalization: str, labels: tuple[str, ...], tmp_path: Path
) -> None:
    asked = features.where(F.col("label").isin(*labels))
    model = fit(asked, ClassifierParams(normalization=normalization, params={"maxIter": 5}))
    model.save(f"file://{tmp_path}/model")
    vectors = asked.where("features is not null").orderBy("image_id").toArrow()
    expected = ask_mllib(asked, model)
    opened = open_pipeline(tmp_path / "model")
    assert (find(opened).predict(vectors["features"]) == find(model).predict(vectors["features"])).all()
    for each in (model, opened):
        head = find(each)
        shares = head.predict(vectors["features"])
        for image_id, own in zip(vectors["image_id"].to_pylist(), shares, strict=True):
            label, others = expected[image_id]
            assert head.labels[own.argmax()] == label
            np.testing.assert_allclose(own, others, rtol=0, atol=1e-12)


def test_an_image_has_the_same_probabilities_in_any_batch(features: DataFrame) -> None:
    head = find(fit(features, ClassifierParams(params={"maxIter": 5})))
    vectors = features.where("features is not null").toArrow()["features"].combine_chunks()
    together = head.predict(vectors)
    for size in (1, 7, 50):
        parts = [head.predict(vectors.slice(start, size)) for start in range(0, len(vectors), size)]
        assert (np.concatenate(parts) == together).all()


@pytest.mark.parametrize("limit", [pytest.param(2**13, id="driver"), pytest.param(0, id="workers")])
@pytest.mark.parametrize("count", [2, 3])
def test_stored_rows_have_answers_in_the_place_of_features(
    features: DataFrame, store_rows: StoreRows, monkeypatch: pytest.MonkeyPatch, limit: int, count: int
) -> None:
    monkeypatch.setattr(picked_rows, "MAPPED_ROWS", limit)
    model = fit(features, ClassifierParams(params={"maxIter": 5}))
    found = predict_stored(store_rows(features), ["image_id"], find(model), 1.0, count)
    rows = {row["image_id"]: row for row in list_records(found)}
    assert list(rows["000"]) == ["image_id", "predicted_label", "confidence", "probabilities", "ancestors"]
    assert (rows["007"]["predicted_label"], rows["007"]["confidence"], rows["007"]["probabilities"]) == (None,) * 3
    del rows["007"]
    for image_id, (label, shares) in ask_mllib(features, model).items():
        row, listed = rows[image_id], dict(zip(("coat", "hat", "shoe"), shares, strict=True))
        probabilities = dict(row["probabilities"])
        if count == 2:
            del listed[min(listed, key=listed.__getitem__)]
            assert probabilities.pop("*") == pytest.approx(min(shares))
        assert (row["predicted_label"], row["confidence"]) == (label, pytest.approx(max(shares)))
        assert probabilities == pytest.approx(listed)


def test_a_single_question_about_sets_is_no_softmax_head(features: DataFrame) -> None:
    asked = features.where("features is not null").withColumn(
        "label", F.when(F.col("label") == "hat", "damaged").otherwise("(no label)")
    )
    model = fit(asked, ClassifierParams("yes_no", params={"maxIter": 5}))
    assert find_questions(model) == ("damaged",)
    assert find_softmax_head(model) is None


@pytest.mark.parametrize(
    "params",
    [
        pytest.param(ClassifierParams("random_forest", params={"numTrees": 2, "maxDepth": 2}), id="another head"),
        pytest.param(ClassifierParams(params={"threshold": 0.9, "maxIter": 2}), id="a threshold of its own"),
    ],
)
def test_other_models_are_left_to_mllib(features: DataFrame, params: ClassifierParams) -> None:
    two = features.where("label <> 'shoe'")
    assert find_softmax_head(fit(two, params)) is None
