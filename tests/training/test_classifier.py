"""Classifiers: fitting, prediction, versions and storage."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyspark
import pytest
from pyspark.errors import SparkRuntimeException
from pyspark.ml import PipelineModel
from pyspark.ml.classification import OneVsRestModel
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from pipeline.embed.backbone import Backbone
from pipeline.embed.file_kinds import DECODER
from pipeline.images.features import extract_features
from pipeline.images.labels import list_training_files, read_training_images
from pipeline.images.split import label_features
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.stored_rows import StoredFile, StoredRows
from pipeline.training import training_set
from pipeline.training.classifier import Classifier, predict, predict_holdout
from pipeline.training.classifier_fit import fit_classifier, identify_training
from pipeline.training.classifier_report import describe_classifier
from pipeline.training.fitting import fit_pipeline
from pipeline.training.graph.end_to_end import add_graph
from pipeline.training.heads import HeadError, build_head
from pipeline.training.params import ClassifierParams
from pipeline.training.prediction import _probabilities
from pipeline.training.training_set import TRAINING_SET, TrainingError, identify, list_training_set, select_labelled
from resources.lake.lake import Lake
from resources.models.damage import ModelError
from resources.models.pipelines import open_pipeline
from resources.models.store import ModelStore
from resources.spark.java import java_home
from resources.spark.session import SparkResource

# MLlib's CrossValidator and OneVsRest never close their thread pool
pytestmark = pytest.mark.filterwarnings("ignore:unclosed running multiprocessing pool:ResourceWarning")

TWO = {"calibration_folds": 2}
HEADS = {
    "logistic_regression": ClassifierParams(params={"maxIter": 5}),
    "linear_discriminant": ClassifierParams("linear_discriminant", "l2", {"shrinkage": 0.5}, **TWO),
    "random_forest": ClassifierParams("random_forest", "standard", {"numTrees": 5, "maxDepth": 3}, **TWO),
    "gradient_boosted_trees": ClassifierParams("gradient_boosted_trees", "l2", {"maxIter": 1, "maxDepth": 2}, **TWO),
    "linear_svc": ClassifierParams("linear_svc", "none", {"maxIter": 2}, **TWO),
    "naive_bayes": ClassifierParams("naive_bayes", **TWO),
    "multilayer_perceptron": ClassifierParams("multilayer_perceptron", "l2", {"hidden": 6, "maxIter": 20}, **TWO),
}
TINY = {"maxIter": 2}
LABELS = ["blue", "green", "red"]

Fit = Callable[[str], Classifier]


@pytest.fixture(scope="session")
def features_folder(
    spark: SparkSession, training_folder: Path, tiny_backbone: Backbone, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Features of the training folder, as plain Parquet."""
    images = read_training_images(spark, list_training_files(str(training_folder)))
    folder = tmp_path_factory.mktemp("features") / "training"
    label_features(extract_features(images, tiny_backbone), images).coalesce(1).write.parquet(str(folder))
    return folder


@pytest.fixture(scope="session")
def features(spark: SparkSession, features_folder: Path) -> DataFrame:
    return spark.read.parquet(str(features_folder)).cache()


@pytest.fixture(scope="session")
def fit(features: DataFrame) -> Fit:
    """Fits each head once."""
    fitted: dict[str, Classifier] = {}

    def fit_once(head: str) -> Classifier:
        if head not in fitted:
            fitted[head] = fit_classifier(features, HEADS[head])
        return fitted[head]

    return fit_once


@pytest.fixture(scope="session")
def classifier(fit: Fit) -> Classifier:
    return fit("logistic_regression")


@pytest.fixture(scope="session")
def swapped(features: DataFrame) -> Classifier:
    """A classifier trained with red and green swapped."""
    names = F.create_map(*map(F.lit, ("red", "green", "green", "red", "blue", "blue")))
    wrong = F.when(F.col("split") == "holdout", F.col("label")).otherwise(names[F.col("label")])
    return fit_classifier(features.withColumn("label", wrong), ClassifierParams(params=TINY))


@pytest.fixture
def store(tmp_path: Path, spark_resource: SparkResource) -> ModelStore:
    return ModelStore(lake=Lake(root=str(tmp_path / "lake")), spark=spark_resource)


@pytest.fixture(scope="module")
def stored(
    tmp_path_factory: pytest.TempPathFactory, spark_resource: SparkResource, classifier: Classifier
) -> ModelStore:
    """A store that contains the classifier."""
    store = ModelStore(lake=Lake(root=str(tmp_path_factory.mktemp("lake"))), spark=spark_resource)
    store.save("classifier", classifier)
    return store


def predictions_by_id(predictions: DataFrame) -> dict[str, Row]:
    return {row["image_id"]: row for row in predictions.collect()}


def version_of(features: DataFrame, params: ClassifierParams) -> str:
    return identify(select_labelled(features), "a digest", params)


@pytest.mark.parametrize("head", HEADS)
def test_every_head_fits_and_predicts_probabilities(fit: Fit, features: DataFrame, head: str) -> None:
    fitted = fit(head)
    predictions = predict(features, fitted).collect()
    assert fitted.labels == LABELS
    assert len(predictions) == 90
    for row in predictions:
        assert sorted(row["probabilities"]) == LABELS
        assert all(0 <= share <= 1 for share in row["probabilities"].values())
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert row["confidence"] == row["probabilities"][row["predicted_label"]]
        assert row["confidence"] == max(row["probabilities"].values())
    right = [row["predicted_label"] == row["label"] for row in predictions if row["split"] == "holdout"]
    assert fitted.report["accuracy"] == pytest.approx(sum(right) / len(right))
    assert fitted.report["accuracy"] > 0.8
    assert fitted.report["holdout_count"] == len(right)


def test_predictions_replace_the_features_among_the_input_columns(features: DataFrame, classifier: Classifier) -> None:
    predictions = predict(features, classifier)
    kept = [name for name in features.columns if name != "features"]
    assert predictions.columns == [*kept, "predicted_label", "confidence", "probabilities", "ancestors"]
    unlabelled = features.drop("label", "split")
    expected = predictions_by_id(predictions)
    found = predictions_by_id(predict(unlabelled, classifier))
    assert {id_: row["confidence"] for id_, row in found.items()} == {
        id_: row["confidence"] for id_, row in expected.items()
    }


def test_rows_without_features_are_neither_predicted_nor_trained_on(
    features: DataFrame, classifier: Classifier
) -> None:
    nothing = F.lit(None)
    broken = features.limit(5).withColumns({"image_id": F.concat(F.lit("x"), "image_id"), "features": nothing})
    unlabelled = features.limit(5).withColumns({"image_id": F.concat(F.lit("y"), "image_id"), "label": nothing})
    more = features.union(broken).union(unlabelled)
    assert predict(more, classifier).count() == 95
    params = HEADS["logistic_regression"]
    assert version_of(more, params) == version_of(features, params)
    assert len(predict_holdout(more, classifier)) == classifier.report["holdout_count"]


@pytest.mark.parametrize(
    ("margins", "expected"),
    [
        ([0, 0, 0], [1 / 3] * 3),
        ([-1e4] * 3, [1 / 3] * 3),
        ([-1e4, 1e4, -1e4], [0, 1, 0]),
        ([1e4, 1e4, 0], [0.4, 0.4, 0.2]),
    ],
)
def test_one_vs_rest_margins_become_probabilities_however_extreme(
    spark: SparkSession, fit: Fit, margins: list[float], expected: list[float]
) -> None:
    prediction = spark.createDataFrame([(Vectors.dense(margins),)], ["rawPrediction"])
    assert prediction.select(_probabilities(fit("linear_svc").model)).first()[0] == pytest.approx(expected)


def test_a_label_found_only_in_the_holdout_is_never_predicted_and_counts_as_an_error(features: DataFrame) -> None:
    unknown = (F.col("split") == "holdout") & (F.col("label") == "blue")
    fitted = fit_classifier(
        features.withColumn("label", F.when(unknown, "violet").otherwise(F.col("label"))), ClassifierParams(params=TINY)
    )
    report = fitted.report
    violet = report["classes"]["violet"]
    assert fitted.labels == LABELS
    assert violet["support"] == sum(report["confusion"]["violet"].values()) > 0
    assert (violet["recall"], violet["precision"]) == (0, 0)
    assert "violet" not in {label for predictions in report["confusion"].values() for label in predictions}
    assert report["accuracy"] == pytest.approx(1 - violet["support"] / report["holdout_count"])


def test_a_grid_search_tries_every_combination_and_fits_the_best(features: DataFrame) -> None:
    grid = {"regParam": [1000.0, 0.01], "maxIter": [0.0, 2.0]}
    progress: list[tuple[int, int]] = []
    fitted = fit_classifier(features, ClassifierParams(grid=grid, folds=2), lambda *fits: progress.append(fits))
    assert progress == [(done, 30) for done in range(9, 30)], "progress was reported"
    chosen = fitted.report["chosen"]
    tried = [(each["regParam"], each["maxIter"]) for each in chosen["tried"]]
    assert tried == [(1000, 0), (1000, 2), (0.01, 0), (0.01, 2)]
    assert all(0 <= each["accuracy"] <= 1 for each in chosen["tried"])
    assert chosen["best"]["accuracy"] == max(each["accuracy"] for each in chosen["tried"])
    assert chosen["best"] in chosen["tried"]
    head = fitted.model.stages[-2]
    assert (head.getRegParam(), head.getMaxIter()) == (chosen["best"]["regParam"], chosen["best"]["maxIter"])
    assert (chosen["best"]["regParam"], chosen["best"]["maxIter"]) == (0.01, 2), "the others barely learn"
    assert json.loads(json.dumps(fitted.report)) == fitted.report


def test_heads_are_compared_and_the_best_one_is_fitted(features: DataFrame) -> None:
    heads = {"logistic_regression": {"regParam": [1000.0]}, "linear_discriminant": {}}
    params = ClassifierParams(heads=heads, folds=2)
    fitted = fit_classifier(features, params)
    chosen = fitted.report["chosen"]
    assert [(each["head"], each.get("regParam")) for each in chosen["tried"]] == [
        ("logistic_regression", 1000),
        ("linear_discriminant", None),
    ]
    assert chosen["best"]["head"] == "linear_discriminant", "the other barely learns"
    assert identify_training(features, params) == fitted.version
    table = describe_classifier(fitted).tables["search"].splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == ["linear_discriminant", "logistic_regression"]


def test_a_grid_search_learns_nothing_from_near_duplicates_of_the_images_it_is_scored_on(spark: SparkSession) -> None:
    """Vectors and labels are noise: only a copy in another fold could tell a label."""
    random, rows = np.random.default_rng(0), []
    for group in range(40):
        vector, label = random.normal(size=48).tolist(), "red" if group % 2 else "blue"
        rows += [(f"{group}-{copy}", f"{group}", label, vector) for copy in range(3)]
    train = spark.createDataFrame(rows, "image_id string, group string, label string, features array<float>")
    _, chosen = fit_pipeline(train.cache(), ClassifierParams(params={"maxIter": 5}, grid={"regParam": [0.0, 0.1]}))
    assert [each["accuracy"] for each in chosen["tried"]] == pytest.approx([0.5, 0.5], abs=0.2)


@pytest.mark.parametrize(("head", "param"), [("linear_svc", "regParam"), ("gradient_boosted_trees", "stepSize")])
def test_a_search_parameter_reaches_the_head_inside_one_vs_rest(spark: SparkSession, head: str, param: str) -> None:
    built = build_head(head, {}, dimension=48, class_count=3, seed=1)
    copied = built.estimator.copy(dict([built.setting(param, 0.125)]))
    core = copied.getClassifier()
    assert core.getOrDefault(core.getParam(param)) == 0.125


def test_the_hidden_layer_lies_between_the_features_and_the_labels(spark: SparkSession) -> None:
    head = build_head("multilayer_perceptron", {"hidden": 7.0}, dimension=48, class_count=3, seed=1)
    assert head.core.getLayers() == [48, 7, 3]


def test_an_unknown_head_is_refused_with_the_available_names(features: DataFrame) -> None:
    heads = "logistic_regression, linear_discriminant, random_forest, .*perceptron"
    with pytest.raises(HeadError, match=f"no head 'oracle'; the heads are {heads}"):
        fit_classifier(features, ClassifierParams("oracle"))


@pytest.mark.parametrize("where", [{"params": {"regParm": 1}}, {"grid": {"regParm": [1]}}], ids=["params", "grid"])
def test_an_unknown_parameter_is_refused_with_the_available_names(features: DataFrame, where: dict[str, Any]) -> None:
    with pytest.raises(HeadError, match=r"has no parameter 'regParm'; its parameters are .*regParam"):
        fit_classifier(features, ClassifierParams(**where))


def test_an_invalid_parameter_value_is_refused_by_name(spark: SparkSession) -> None:
    with pytest.raises(HeadError, match=r"random_forest cannot have numTrees = 5\.5: .*int"):
        build_head("random_forest", {"numTrees": 5.5}, dimension=48, class_count=3, seed=1)


def test_row_order_changes_neither_the_version_nor_the_predictions(features: DataFrame, classifier: Classifier) -> None:
    shuffled = features.orderBy(F.reverse("image_id")).repartition(7)
    again = fit_classifier(shuffled, HEADS["logistic_regression"])
    assert again.version == classifier.version
    assert again.report == classifier.report
    expected = predictions_by_id(predict(features, classifier))
    for id_, row in predictions_by_id(predict(shuffled, again)).items():
        assert row["predicted_label"] == expected[id_]["predicted_label"]
        assert row["probabilities"] == pytest.approx(expected[id_]["probabilities"], abs=1e-9)


@pytest.mark.parametrize("params", [{"regParam": 0.05}, {"maxIter": 50}, {"maxIter": 50.0}])
def test_an_explicit_default_keeps_the_version(features: DataFrame, params: Mapping[str, float]) -> None:
    assert version_of(features, ClassifierParams(params=params)) == version_of(features, ClassifierParams())


def test_every_input_of_a_training_changes_the_version(features: DataFrame) -> None:
    changes = [
        ClassifierParams(),
        ClassifierParams(params={"regParam": 0.06}),
        ClassifierParams(params={"maxIter": 99}),
        ClassifierParams(params={"elasticNetParam": 0.5}),
        ClassifierParams(grid={"regParam": [0.05]}),
        ClassifierParams(grid={"regParam": [0.05]}, folds=4),
        ClassifierParams(normalization="none"),
        ClassifierParams(seed=1),
        ClassifierParams("naive_bayes"),
    ]
    first = F.col("image_id") == features.agg(F.min("image_id")).first()[0]
    relabelled = features.withColumn("label", F.when(first, "violet").otherwise(F.col("label")))
    other_split = F.when(F.col("split") == "train", "holdout").otherwise("train")
    moved = features.withColumn("split", F.when(first, other_split).otherwise(F.col("split")))
    versions = [version_of(features, params) for params in changes]
    versions += [version_of(other, ClassifierParams()) for other in (relabelled, moved, features.where(~first))]
    assert len(set(versions)) == len(versions) == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "'train'"}, r"none of the usable images is in it: add images, .* put some into validation"),
        ({"label": "'red'"}, r"all usable images have the label 'red': add images of another one"),
        (
            {"split": "'holdout'"},
            r"train split, but it has none; all usable images of 'blue', 'green', 'red' are in the holdout: add images",
        ),
        (
            {"split": "if(label = 'red', 'train', 'holdout')"},
            r"train split, but it has only 'red'; all usable images of 'blue', 'green' are in the holdout: add images",
        ),
        (
            {"features": "cast(null as array<float>)", "error": "if(label = 'red', 'truncated', 'empty')"},
            r"none of the labelled images can be used, \d+ empty, \d+ truncated: replace files that cannot be decoded",
        ),
        ({"label": "cast(null as string)"}, r"\d+ filed under two labels: replace .*, and keep each image under one"),
        (
            {"label": "if(label = 'red', label, null)", "split": "if(label = 'red', split, null)"},
            r"all usable images \(\d+ filed under two labels cannot be used\) have the label 'red': add",
        ),
        (
            {"backbone": "substring(image_id, 1, 1)"},
            "from several backbones, .*materialize training_features",
        ),
        ({"label": "if(label = 'red', '*', label)"}, "the label '\\*' is the key of all others"),
    ],
    ids=[
        *("no holdout", "one label", "no train", "one label in train", "all undecodable", "all contradictory"),
        *("one label and contradictions", "several backbones", "a reserved label"),
    ],
)
def test_unusable_features_are_refused(features: DataFrame, change: dict[str, str], message: str) -> None:
    changed = features.withColumns({column: F.expr(value) for column, value in change.items()})
    with pytest.raises(TrainingError, match=message):
        fit_classifier(changed, ClassifierParams())


def test_an_empty_training_set_is_refused(features: DataFrame) -> None:
    with pytest.raises(TrainingError, match="there is no labelled image: put images into folders named after"):
        fit_classifier(features.limit(0), ClassifierParams())


def test_predicting_features_of_another_backbone_fails(features: DataFrame, classifier: Classifier) -> None:
    others = features.withColumn("backbone", F.lit("another"))
    with pytest.raises(
        SparkRuntimeException,
        match=f"expects features of {classifier.backbone}, but got another",
    ):
        predict(others, classifier).select("predicted_label").collect()


@pytest.mark.parametrize("decoder", ["4, pillow 12.0.0", None])
def test_features_of_two_decoders_never_meet_one_classifier(
    features: DataFrame, classifier: Classifier, decoder: str | None
) -> None:
    assert classifier.decoder == DECODER
    others = features.withColumn("decoder", F.lit(decoder).cast("string"))
    came_from = decoder or "an earlier version"
    with pytest.raises(
        SparkRuntimeException, match=f"learned from images decoded by {DECODER}, but these.* {came_from}"
    ):
        predict(others, classifier).select("predicted_label").collect()
    with pytest.raises(
        TrainingError, match=r"images were decoded by another version .*: materialize training_features"
    ):
        fit_classifier(others, ClassifierParams())
    predict(features.withColumn("decoder", F.lit(DECODER)), classifier).select("predicted_label").collect()


def test_a_classifier_of_a_lake_before_decoders_were_recorded_refuses_new_features(
    features: DataFrame, classifier: Classifier
) -> None:
    former = replace(classifier, report={k: v for k, v in classifier.report.items() if k != "decoder"})
    with pytest.raises(SparkRuntimeException, match=r"by an earlier version, but these were by 5, .*group training"):
        predict(features.withColumn("decoder", F.lit(DECODER)), former).select("predicted_label").collect()


def test_the_report_shows_scores_and_confusion_by_label(classifier: Classifier) -> None:
    report = describe_classifier(classifier)
    assert report.numbers["accuracy"] == classifier.report["accuracy"]
    assert report.texts["version"] == classifier.version
    rows = report.tables["classes"].splitlines()[2:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == LABELS
    assert len(report.tables["confusion_matrix"].splitlines()) == 5


def test_the_page_says_when_the_holdout_is_optimistic(classifier: Classifier) -> None:
    levels = [{"shelf_count": count, "accuracy": share} for count, share in ((0, 0.98), (25, 0.9), (5, 0.7))]
    page = describe_classifier(replace(classifier, report={**classifier.report, "accuracy": 0.97, "levels": levels}))
    assert "| accuracy where 5 shelves of each label are held out in turn | 0.700 |" in page.tables["scores"]
    assert "expect 70% to 90% on days from other places" in page.texts["optimism"]
    calm = [{**level, "accuracy": 0.96} for level in levels]
    page = describe_classifier(replace(classifier, report={**classifier.report, "accuracy": 0.97, "levels": calm}))
    assert "optimism" not in page.texts


def test_a_stored_classifier_predicts_like_the_fitted_one(
    stored: ModelStore, features: DataFrame, classifier: Classifier
) -> None:
    found = stored.find_classifier("classifier")
    assert (found.version, found.backbone, found.report) == (classifier.version, classifier.backbone, classifier.report)
    assert predictions_by_id(predict(features, found)) == predictions_by_id(predict(features, classifier))
    assert stored.find("classifier_candidate") is None


@pytest.mark.parametrize("head", HEADS)
def test_a_stored_pipeline_of_every_head_is_opened_as_mllib_itself_opens_it(
    fit: Fit, features: DataFrame, head: str, tmp_path: Path
) -> None:
    folder = tmp_path / "a model"
    fit(head).model.write().save(f"file://{folder}")
    opened, loaded = open_pipeline(folder), PipelineModel.load(f"file://{folder}")
    assert [type(stage) for stage in opened.stages] == [type(stage) for stage in loaded.stages]
    for ours, theirs in zip(opened.stages, loaded.stages, strict=True):
        params = [{key.name: value for key, value in each.extractParamMap().items()} for each in (ours, theirs)]
        if isinstance(ours, OneVsRestModel):
            params = [each | {"classifier": None} for each in params]  # objects
        own_names = f"{ours.uid}__", f"{theirs.uid}__"
        assert json.dumps(params[0], sort_keys=True).replace(*own_names) == json.dumps(params[1], sort_keys=True)
    rows = [predictions_by_id(predict(features, replace(fit(head), model=model))) for model in (opened, loaded)]
    assert rows[0] == rows[1]


def test_the_evaluation_file_records_scores_and_training_inputs(
    stored: ModelStore, classifier: Classifier, tiny_backbone: Backbone
) -> None:
    evaluation = json.loads(
        (stored.lake.models.folder / "classifier" / classifier.version / "evaluation.json").read_text()
    )
    assert evaluation["classifier"] == classifier.version
    assert evaluation["backbone"] == tiny_backbone.digest
    assert evaluation["params"]["head"] == "logistic_regression"
    assert evaluation["params"]["params"] == {"regParam": 0.05, "maxIter": 5}
    assert evaluation["versions"]["pyspark"] == pyspark.__version__
    assert evaluation["classes"].keys() == evaluation["confusion"].keys() == set(LABELS)
    assert (
        sum(evaluation["confusion"][label].get(label, 0) for label in LABELS) / evaluation["support"]
        == evaluation["accuracy"]
    )
    assert evaluation["macro_f1"] == pytest.approx(sum(each["f1"] for each in evaluation["classes"].values()) / 3)
    assert (
        sum(each["support"] for each in evaluation["classes"].values())
        == evaluation["support"]
        == evaluation["holdout_count"]
    )
    assert all(math.isfinite(each[name]) for each in evaluation["classes"].values() for name in ("precision", "recall"))
    assert evaluation["train_count"] + evaluation["holdout_count"] == 90


def test_a_classifier_records_its_training_files_and_the_excluded_ones(
    spark: SparkSession, features: DataFrame, tmp_path: Path
) -> None:
    rows = features.orderBy("image_id").select("image_id", "label", "split").limit(3).collect()
    files = [(row["image_id"], f"{copy}/{row['image_id'][:4]}.jpg") for row in rows for copy in ("a", "b")]
    listed = pa.table({"image_id": [each for each, _ in files], "path": [path for _, path in files]})
    pq.write_table(listed, tmp_path / "files.parquet")
    schema = parse_schema("image_id string, path string")
    images = StoredRows(spark, str(tmp_path), schema, (StoredFile("files.parquet", None, len(files)),))
    kept_split = F.when(F.col("image_id") != rows[0]["image_id"], F.col("split"))
    partly_excluded = features.withColumns(
        {"split": kept_split, "split_alone": F.col("split"), "group": F.col("image_id")}
    )
    found = list_training_set(partly_excluded, images).to_pylist()
    assert [(row["image_id"], row["path"]) for row in found] == files
    assert [row["split"] for row in found] == [None, None, *(row["split"] for row in rows[1:] for _ in "ab")]
    assert {row["label"] for row in found} <= set(LABELS)


def test_the_training_set_is_stored_with_the_classifier_or_added_by_retraining(
    store: ModelStore, classifier: Classifier
) -> None:
    columns = [["aa"], ["red/1.jpg"], ["red"], ["train"]]
    trained = replace(classifier, training_set=pa.table(columns, schema=TRAINING_SET))
    file = store.lake.models.folder / "classifier" / classifier.version / "training_set.parquet"
    store.save("classifier", classifier)
    assert not file.exists(), "an older version has no training set"
    store.save("classifier_candidate", trained)
    assert pq.read_table(file).to_pylist() == trained.training_set.to_pylist()
    file.unlink()
    (file.parent / "evaluation.json").unlink()
    store.save("classifier", trained)
    assert file.exists()


def test_each_asset_points_to_the_classifier_saved_last_under_its_name(
    store: ModelStore, classifier: Classifier, swapped: Classifier
) -> None:
    store.save("classifier", classifier)
    store.save("classifier_candidate", classifier)
    store.save("classifier_candidate", swapped)
    versions = {asset: store.find_classifier(asset).version for asset in ("classifier", "classifier_candidate")}
    assert versions == {"classifier": classifier.version, "classifier_candidate": swapped.version}


def test_a_damaged_classifier_is_refused_and_repaired_by_saving_it_again(
    store: ModelStore, classifier: Classifier
) -> None:
    store.save("classifier", classifier)
    (store.lake.models.folder / "classifier" / classifier.version / "evaluation.json").unlink()
    with pytest.raises(ModelError, match=f"the classifier {classifier.version} is missing or damaged in .*again"):
        store.find("classifier")
    store.save("classifier", classifier)
    assert store.find_classifier("classifier").report == classifier.report


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no stages": lambda folder: shutil.rmtree(folder / "stages"),
    "half an evaluation": lambda folder: cut(folder / "evaluation.json"),
    "half the cross-fits": lambda folder: cut(folder / "cross_fits.parquet"),
    "half the graph": lambda folder: cut(folder / "classifier.onnx"),
    "no training set": lambda folder: (folder / "training_set.parquet").unlink(),
}


@pytest.fixture
def whole(classifier: Classifier, tiny_backbone: Backbone) -> Classifier:
    """A classifier with everything that a training stores."""
    files = pa.table([["aa"], ["red/1.jpg"], ["red"], ["train"]], schema=TRAINING_SET)
    return replace(add_graph(classifier, tiny_backbone), training_set=files)


def test_a_stored_classifier_is_recalled_by_the_version_of_its_inputs(
    store: ModelStore, features: DataFrame, whole: Classifier
) -> None:
    version = identify_training(features, HEADS["logistic_regression"])
    assert version == whole.version
    assert store.recall(version) is None
    store.save("classifier_candidate", whole)
    assert store.recall(version).report == whole.report
    assert predictions_by_id(predict(features, store.recall(version))) == predictions_by_id(predict(features, whole))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_classifier_is_not_recalled_and_is_replaced_once_it_is_fitted_again(
    store: ModelStore, whole: Classifier, damage: str
) -> None:
    store.save("classifier", whole)
    DAMAGES[damage](store.lake.models.folder / "classifier" / whole.version)
    assert store.recall(whole.version) is None
    store.save("classifier_candidate", whole)
    assert store.recall(whole.version).report == whole.report
    assert store.find_graph(whole.version)


def test_a_model_that_another_run_stored_meanwhile_is_kept_for_the_days_that_load_it(
    store: ModelStore, classifier: Classifier
) -> None:
    folder = store.lake.models.folder / "classifier" / classifier.version

    class OvertakenStore(ModelStore):
        """Another run stores the model after this one has looked for it and before it stores its own."""

        def read_evaluation(self, version: str) -> dict[str, Any] | None:
            found = super().read_evaluation(version)
            if found is None:
                store.save("classifier", classifier)
                (folder / "being loaded").touch()
            return found

    OvertakenStore(lake=store.lake, spark=store.spark).save("classifier", classifier)
    assert (folder / "being loaded").exists()
    assert [path.name for path in folder.parent.iterdir()] == [classifier.version], "the draft is removed"


PLAIN_SPARK = """
import importlib.util, json, sys
site_packages, features, model = sys.argv[1:]
sys.path.append(site_packages)
assert not any(map(importlib.util.find_spec, ("pipeline", "resources", "assets"))), sys.path
from pyspark.ml import PipelineModel
from pyspark.ml.functions import array_to_vector
from pyspark.sql import SparkSession
builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
spark = builder.config("spark.sql.shuffle.partitions", 1).getOrCreate()
rows = spark.read.parquet(features).withColumn("embedding", array_to_vector("features"))
predictions = PipelineModel.load(model).transform(rows).select("image_id", "predicted_label").collect()
print(json.dumps(dict(map(tuple, predictions))))
"""


def test_plain_spark_without_daylight_loads_a_stored_classifier_and_predicts_the_same_labels(
    stored: ModelStore, classifier: Classifier, features: DataFrame, features_folder: Path, tmp_path: Path
) -> None:
    site_packages = str(Path(pyspark.__file__).parents[1])
    folder = str(stored.lake.models.folder / "classifier" / classifier.version)
    environment = {
        "PATH": os.environ["PATH"],
        "JAVA_HOME": str(java_home()),
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PLAIN_SPARK, site_packages, str(features_folder), folder],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = predictions_by_id(predict(features, classifier))
    assert json.loads(done.stdout) == {id_: row["predicted_label"] for id_, row in expected.items()}


# Compatibility with stored versions


def test_versions_equal_those_of_commit_41041cd(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_set, "DECODER", "decoder")
    monkeypatch.setattr(training_set, "version", lambda _: "4.3.0")
    rows = []
    for n in range(12):
        alone = "holdout" if n % 5 == 0 else "train"
        label, split, group = "hat" if n % 2 else "dress", None if n == 7 else alone, f"{n // 2:064x}"
        rows.append((f"{n:064x}", label, split, [1.0, float(n)], "b", group, alone))
    columns = "image_id string, label string, split string, features array<float>, backbone string, group string"
    labelled = select_labelled(spark.createDataFrame(rows, f"{columns}, split_alone string"))
    assert identify(labelled, "b", ClassifierParams()) == "fd7d7322ffc21ae4"
    others = ClassifierParams("linear_svc", "standard", {"maxIter": 3}, {"regParam": [0.1, 1.0]}, 4, 7, 0.9, 3)
    assert identify(labelled, "b", replace(others, grid={})) == "ce21c639016e8f48"
    assert identify(labelled, "b", others) != "be9b5ee199fce4a0", "its search folded by image"


def test_a_stored_calibration_with_the_former_target_name_is_read(classifier: Classifier) -> None:
    stored = classifier.calibration.to_dict()
    former = {"promised_precision" if name == "target_precision" else name: stored[name] for name in stored}
    report = {**classifier.report, "calibration": former}
    assert replace(classifier, report=report).calibration == classifier.calibration
