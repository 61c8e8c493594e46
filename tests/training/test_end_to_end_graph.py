"""The end-to-end graph: one file predicts like backbone and MLlib together, and a check detects any deviation."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import onnx
import pyarrow as pa
import pyspark
import pytest
from conftest import COLOURS, SIZE, MakePhoto
from onnx import numpy_helper
from PIL import Image, ImageOps
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from assets.training.end_to_end_graph import end_to_end_graph_matches_the_classifier
from pipeline.embed.backbone import Backbone, embed_with, load_backbone, open_backbone, open_session
from pipeline.embed.decode import decode
from pipeline.embed.golden_set import KEY, make_golden_set, read_golden_set
from pipeline.images.features import extract_features
from pipeline.images.labels import list_training_files, read_training_images
from pipeline.images.split import label_features
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.classifier import Classifier, predict
from pipeline.training.classifier_fit import fit_classifier
from pipeline.training.graph.end_to_end import GraphError, add_graph, build_graph
from pipeline.training.graph.parity import MAX_DIFFERENCE, GraphParity, measure_graph_parity
from pipeline.training.params import ClassifierParams
from resources.lake.lake import Lake
from resources.models.store import END_TO_END_GRAPH, ModelStore
from resources.settings import Settings
from resources.spark.session import SparkResource

# MLlib's OneVsRest never closes its thread pool
pytestmark = pytest.mark.filterwarnings("ignore:unclosed running multiprocessing pool:ResourceWarning")

EXAMPLE = Path(__file__).parents[2] / "docs" / "score_photo.py"
HOSTILE = ["Ünï 名 🦊", "a \"b\", 'c'", "</td>|**x**", "new\nline", "", "'; drop table x", "\\", "10", "{}", "ü"]
LOGISTIC = "logistic_regression"
CASES = {
    "two labels, l2": (2, ClassifierParams(LOGISTIC, "l2", {"regParam": 0.0, "maxIter": 5})),
    "two labels, standard": (2, ClassifierParams(LOGISTIC, "standard", {"maxIter": 5})),
    "ten labels, standard": (10, ClassifierParams(LOGISTIC, "standard", {"regParam": 0.0, "maxIter": 5})),
    "ten labels, none": (10, ClassifierParams(LOGISTIC, "none", {"maxIter": 5})),
    "naive bayes": (3, ClassifierParams("naive_bayes")),
    "multilayer perceptron": (3, ClassifierParams("multilayer_perceptron", "l2", {"hidden": 5, "maxIter": 60})),
    "linear discriminant": (3, ClassifierParams("linear_discriminant", "standard", {"shrinkage": 0.5})),
    "two labels by discriminant": (2, ClassifierParams("linear_discriminant", "l2", {"shrinkage": 0.5})),
    "linear svc": (3, ClassifierParams("linear_svc", "none", {"maxIter": 3})),
}


Judge = Callable[..., GraphParity]
Check = Callable[[Classifier], dg.AssetCheckResult]
BLACK = slice(-2, -1)


def make_pixels(label_count: int) -> tuple[np.ndarray, list[str]]:
    """Makes six noisy images per label; one corner is constant."""
    random = np.random.default_rng(label_count)
    colours = random.integers(0, 256, (label_count, 1, 1, 1, 3))
    noise = random.normal(0, 40, (label_count, 6, SIZE, SIZE, 3))
    pixels = np.clip(colours + noise, 0, 255).astype(np.uint8).reshape(-1, SIZE, SIZE, 3)
    pixels[:, :8, :8] = 9
    return pixels, [label for label in HOSTILE[:label_count] for _ in range(6)]


def make_probes(label_count: int) -> np.ndarray:
    """Makes images of every label, plus noise, black (all features zero) and white."""
    noise = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)
    black_and_white = np.stack([np.zeros_like(noise[0]), np.full_like(noise[0], 255)])
    return np.concatenate([make_pixels(label_count)[0], noise, black_and_white])


def make_features(
    spark: SparkSession, backbone: Backbone, pixels: np.ndarray, labels: Sequence[str | None]
) -> DataFrame:
    count = len(pixels)
    columns = {
        "image_id": pa.array([f"{number:03d}" for number in range(count)]),
        "label": pa.array(labels, pa.string()),
        "split": pa.array(["train" if number % 3 else "holdout" for number in range(count)]),
        "features": pa.array(list(load_backbone(backbone.path)(pixels)), pa.list_(pa.float32())),
        "backbone": pa.repeat(backbone.digest, count),
    }
    return spark.createDataFrame(pa.table(columns)).coalesce(1)


def predict_with_mllib(spark: SparkSession, backbone: Backbone, classifier: Classifier, pixels: np.ndarray) -> tuple:
    """Returns the probabilities and labels that MLlib computes."""
    rows = predict(make_features(spark, backbone, pixels, [None] * len(pixels)), classifier).orderBy("image_id")
    predictions = rows.select("probabilities", "predicted_label").collect()
    shares = [[row["probabilities"][label] for label in classifier.labels] for row in predictions]
    return np.array(shares), [row["predicted_label"] for row in predictions]


def run(graph: bytes, pixels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    probabilities, labels = open_session(graph).run(["probabilities", "label"], {"pixels": pixels})
    return probabilities, labels.tolist()


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, spark: SparkSession, tiny_backbone: Backbone) -> tuple[Classifier, int]:
    label_count, params = CASES[request.param]
    training = make_features(spark, tiny_backbone, *make_pixels(label_count))
    return fit_classifier(training, replace(params, calibration_folds=2)), label_count


def test_the_graph_gives_the_probabilities_and_labels_of_mllib(
    spark: SparkSession, tiny_backbone: Backbone, case: tuple[Classifier, int]
) -> None:
    classifier, label_count = case
    pixels = make_probes(label_count)
    assert not load_backbone(tiny_backbone.path)(pixels[BLACK]).any()
    probabilities, labels = run(build_graph(tiny_backbone, classifier), pixels)
    expected, expected_labels = predict_with_mllib(spark, tiny_backbone, classifier, pixels)
    assert probabilities.dtype == np.float32
    assert np.abs(probabilities - expected).max() <= 1e-6
    assert labels == expected_labels
    assert len(set(labels)) > 1, "constant predictions would prove nothing"


@pytest.fixture(scope="module")
def images(spark: SparkSession, training_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> StoredRows:
    """The training folder as a lake table."""
    lake = Lake(root=str(tmp_path_factory.mktemp("lake")))
    lake.write("training_images", read_training_images(spark, list_training_files(str(training_folder))), None)
    return lake.read(spark, "training_images", None)


@pytest.fixture(scope="module")
def features(images: StoredRows, tiny_backbone: Backbone) -> DataFrame:
    return label_features(extract_features(images.frame, tiny_backbone), images.frame).cache()


@pytest.fixture(scope="module")
def classifier(features: DataFrame, tiny_backbone: Backbone) -> Classifier:
    return add_graph(fit_classifier(features, ClassifierParams(params={"maxIter": 5})), tiny_backbone)


@pytest.fixture(scope="module")
def trees(features: DataFrame) -> Classifier:
    return fit_classifier(features, ClassifierParams("random_forest", params={"numTrees": 2, "maxDepth": 2}))


@pytest.fixture
def store(tmp_path: Path, spark_resource: SparkResource) -> ModelStore:
    return ModelStore(lake=Lake(root=str(tmp_path / "lake")), spark=spark_resource)


def test_calibrated_probabilities_are_normalized_powers_of_the_heads(
    spark: SparkSession, tiny_backbone: Backbone, classifier: Classifier
) -> None:
    plain = {name: value for name, value in classifier.report.items() if name != "calibration"}
    pixels = make_probes(3)
    shares, labels = predict_with_mllib(spark, tiny_backbone, replace(classifier, report=plain), pixels)
    for temperature in (0.5, 3.0):
        report = {**plain, "calibration": {**classifier.calibration.to_dict(), "temperature": temperature}}
        probabilities, graph_labels = run(build_graph(tiny_backbone, replace(classifier, report=report)), pixels)
        powers = shares ** (1 / temperature)
        assert np.abs(probabilities - powers / powers.sum(axis=1, keepdims=True)).max() <= 1e-6
        assert graph_labels == labels


def test_an_image_gets_the_same_prediction_alone_and_in_a_batch(classifier: Classifier) -> None:
    pixels = make_probes(3)
    batched, _ = run(classifier.graph, pixels)
    alone = np.concatenate([run(classifier.graph, pixel[None])[0] for pixel in pixels])
    assert np.abs(batched - alone).max() <= 1e-6
    assert run(classifier.graph, pixels[:0])[0].shape == (0, 3)


def test_the_graph_carries_its_metadata(classifier: Classifier, tiny_backbone: Backbone) -> None:
    session = open_session(classifier.graph)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["labels"]) == classifier.labels
    assert (metadata["classifier"], metadata["backbone"]) == (classifier.version, tiny_backbone.digest)
    temperature = str(classifier.calibration.temperature)
    assert (metadata["size"], metadata["licence"], metadata["temperature"]) == (str(SIZE), "none", temperature)
    assert [(each.name, each.shape) for each in session.get_outputs()] == [
        ("probabilities", ["n", len(COLOURS)]),
        ("label", ["n"]),
    ]
    assert build_graph(tiny_backbone, classifier) == classifier.graph, "the same classifier gives the same bytes"


def test_a_backbone_of_the_oldest_opset_has_an_end_to_end_graph(
    spark: SparkSession, tiny_backbone: Backbone, classifier: Classifier, tmp_path: Path
) -> None:
    model = onnx.load(tiny_backbone.path)
    model.opset_import[0].version = 7
    path = tmp_path / "old.onnx"
    path.write_bytes(model.SerializeToString())
    graph = build_graph(replace(tiny_backbone, path=str(path)), classifier)
    assert np.array_equal(run(graph, make_probes(3))[0], run(classifier.graph, make_probes(3))[0])


def test_a_tree_head_has_no_graph_and_the_error_gives_the_reason(trees: Classifier, tiny_backbone: Backbone) -> None:
    assert add_graph(trees, tiny_backbone).graph is None
    with pytest.raises(GraphError, match=r"cannot be exported: RandomForest.* is made of trees"):
        build_graph(tiny_backbone, trees)


def test_a_threshold_other_than_one_half_has_no_graph(spark: SparkSession, tiny_backbone: Backbone) -> None:
    training = make_features(spark, tiny_backbone, *make_pixels(2))
    fitted = fit_classifier(training, ClassifierParams(params={"maxIter": 1, "threshold": 0.7}))
    with pytest.raises(GraphError, match=r"threshold is 0\.7"):
        build_graph(tiny_backbone, fitted)


def test_a_classifier_of_another_backbone_is_refused(tiny_backbone: Backbone, classifier: Classifier) -> None:
    with pytest.raises(GraphError, match="but the backbone is another: materialize training_features"):
        build_graph(replace(tiny_backbone, digest="another"), classifier)


@pytest.fixture
def judge(
    classifier: Classifier, tiny_backbone: Backbone, images: StoredRows, features: DataFrame, tmp_path: Path
) -> Judge:
    """Compares a graph with the classifier."""

    def judge(content: bytes, stored: DataFrame = features) -> GraphParity:
        path = tmp_path / f"{hashlib.sha256(content).hexdigest()}.onnx"
        path.write_bytes(content)
        return measure_graph_parity(open_backbone(path), classifier, tiny_backbone, images, stored)

    return judge


def test_the_graph_and_the_classifier_agree_on_the_whole_holdout(
    judge: Judge, classifier: Classifier, features: DataFrame
) -> None:
    parity = judge(classifier.graph)
    assert parity.holds, parity.message
    assert parity.compared_count == features.where("split = 'holdout'").count() > 0
    assert parity.example_count == len(COLOURS)
    assert parity.max_difference <= 1e-6
    assert "compared with stored features" in parity.message


def test_holdout_images_whose_files_are_gone_or_changed_are_left_out_and_counted(
    spark: SparkSession, classifier: Classifier, tiny_backbone: Backbone, training_folder: Path, tmp_path: Path
) -> None:
    folder, lake = shutil.copytree(training_folder, tmp_path / "training"), Lake(root=str(tmp_path / "lake"))
    rows = read_training_images(spark, list_training_files(str(folder)), is_stored=False)
    lake.write("training_images", rows, None)
    images = lake.read(spark, "training_images", None)
    features = label_features(extract_features(images.frame, tiny_backbone), images.frame).cache()
    features.count()
    holdout = [row["path"] for row in images.frame.where("split = 'holdout'").orderBy("path").collect()]
    (folder / holdout[0]).unlink()
    (folder / holdout[1]).write_bytes((folder / holdout[2]).read_bytes())
    path = tmp_path / f"{hashlib.sha256(classifier.graph).hexdigest()}.onnx"
    path.write_bytes(classifier.graph)
    parity = measure_graph_parity(open_backbone(path), classifier, tiny_backbone, images, features)
    assert parity.holds, parity.message
    assert (parity.compared_count, parity.lost_count) == (len(holdout) - 2, 2)
    assert "2 were left out" in parity.message


def test_features_rounded_differently_by_another_machine_are_recomputed(
    judge: Judge, classifier: Classifier, features: DataFrame
) -> None:
    rounded = F.transform("features", lambda feature: F.round(feature, 2).cast("float"))
    parity = judge(classifier.graph, features.withColumn("features", rounded))
    assert parity.holds, parity.message
    assert "compared with new features" in parity.message


def scale_constant(model: onnx.ModelProto, width: int, factor: float) -> None:
    """Scales the weights of shape `[48, width]`."""
    (weights,) = [each for each in model.graph.initializer if list(each.dims) == [48, width]]
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * factor, weights.name))


def swap_labels(model: onnx.ModelProto) -> None:
    (labels,) = [each for each in model.graph.initializer if each.data_type == onnx.TensorProto.STRING]
    labels.string_data[:] = labels.string_data[::-1]


def damage(model: onnx.ModelProto, change: Callable[[onnx.ModelProto], object]) -> bytes:
    """Changes a model and its golden set, like a wrong but consistent build."""
    change(model)
    session = open_session(model.SerializeToString())
    (golden,) = [each for each in model.metadata_props if each.key == KEY]
    contents = read_golden_set(golden.value).contents
    golden.value = make_golden_set(contents, embed_with(session), SIZE, "fp32").to_text()
    return model.SerializeToString()


def test_slightly_wrong_weights_are_detected(judge: Judge, classifier: Classifier) -> None:
    damaged = damage(onnx.load_from_string(classifier.graph), lambda model: scale_constant(model, 3, 1.001))
    parity = judge(damaged)
    assert not parity.holds
    assert parity.max_difference > MAX_DIFFERENCE
    assert (parity.other_count, parity.missing_count, parity.other_examples) == (0, 0, [])


def test_swapped_labels_are_detected(judge: Judge, classifier: Classifier) -> None:
    damaged = damage(onnx.load_from_string(classifier.graph), swap_labels)
    parity = judge(damaged)
    assert not parity.holds
    assert parity.max_difference <= MAX_DIFFERENCE
    assert parity.other_examples == ["blue", "red"]


def test_a_graph_with_other_labels_is_detected(judge: Judge, tiny_backbone: Backbone, features: DataFrame) -> None:
    two = fit_classifier(features.where("label <> 'red'"), ClassifierParams(params={"maxIter": 1}))
    parity = judge(build_graph(tiny_backbone, two))
    assert not parity.holds
    assert parity.missing_count == parity.compared_count > 0


@pytest.fixture
def check(store: ModelStore, tiny_backbone: Backbone, images: StoredRows, features: DataFrame) -> Check:
    """Runs the asset's check on a candidate."""

    def check(candidate: Classifier) -> dg.AssetCheckResult:
        return end_to_end_graph_matches_the_classifier(
            classifier_candidate=candidate,
            backbone=tiny_backbone,
            training_images=images,
            training_features=features.drop("label", "group", "split", "split_alone"),
            training_split=features.select("image_id", "label", "group", "split", "split_alone"),
            model_store=store,
            settings=Settings(),
        )

    return check


def test_the_check_reports_the_location_and_the_deviation_of_the_graph(
    check: Check, store: ModelStore, classifier: Classifier, features: DataFrame
) -> None:
    store.save("classifier_candidate", classifier)
    result = check(store.find_classifier("classifier_candidate"))
    file = Path(result.metadata["file"].value)
    assert result.passed, result.description
    assert file.read_bytes() == classifier.graph
    assert file == Path(store.lake.root) / "models" / "classifier" / classifier.version / "classifier.onnx"
    assert result.metadata["compared_count"].value == features.where("split = 'holdout'").count()
    assert float(result.metadata["max_difference"].value) <= 1e-6


def test_a_graph_damaged_in_the_lake_fails_the_check(
    check: Check, store: ModelStore, classifier: Classifier, features: DataFrame
) -> None:
    store.save("classifier_candidate", classifier)
    file = Path(store.graph_location(classifier.version))
    file.write_bytes(damage(onnx.load(file), swap_labels))
    result = check(classifier)
    assert not result.passed
    assert "2 of 3 sample images got a different label" in result.description


def test_a_head_without_a_graph_passes_the_check_with_the_reason(
    check: Check, store: ModelStore, trees: Classifier, features: DataFrame
) -> None:
    store.save("classifier_candidate", trees)
    result = check(trees)
    assert result.passed
    assert "no classifier.onnx: RandomForest" in result.description
    assert not Path(store.graph_location(trees.version)).exists()


def test_an_old_classifier_without_a_graph_fails_the_check_until_the_next_training(
    check: Check, store: ModelStore, classifier: Classifier, features: DataFrame
) -> None:
    store.save("classifier", replace(classifier, graph=None))
    found = store.find_classifier("classifier")
    assert found.version == classifier.version
    result = check(found)
    assert not result.passed
    assert "materialize classifier_candidate again" in result.description
    store.save("classifier_candidate", classifier)
    assert Path(store.graph_location(classifier.version)).read_bytes() == classifier.graph


def test_loading_a_classifier_does_not_read_the_graph(store: ModelStore, classifier: Classifier) -> None:
    store.save("classifier", classifier)
    (store.lake.models.folder / "classifier" / classifier.version / END_TO_END_GRAPH).write_bytes(b"not a graph")
    found = store.find_classifier("classifier")
    assert (found.version, found.graph) == (classifier.version, None)


WITHOUT_DAYLIGHT = """
import importlib.util, runpy, sys
site_packages, *sys.argv = sys.argv[1:]
sys.path.append(site_packages)
assert not any(map(importlib.util.find_spec, ("pipeline", "resources", "assets"))), sys.path
runpy.run_path(sys.argv[0], run_name="__main__")
assert not {"onnx", "pyspark", "cv2"} & set(sys.modules)
"""


@pytest.mark.parametrize("colour", COLOURS)
def test_the_documented_example_scores_a_photo_without_daylight(
    classifier: Classifier, make_photo: MakePhoto, tmp_path: Path, colour: str
) -> None:
    (tmp_path / "classifier.onnx").write_bytes(classifier.graph)
    (tmp_path / "photo.jpg").write_bytes(make_photo(colour, 77, (150, 91)))
    site_packages = str(Path(pyspark.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", WITHOUT_DAYLIGHT, site_packages, EXAMPLE, "classifier.onnx", "photo.jpg"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    label, confidence = done.stdout.split()
    assert label == colour
    assert 1 / 3 < float(confidence) <= 1


def test_the_documented_example_rotates_and_pads_a_photo_like_daylight(make_photo: MakePhoto, tmp_path: Path) -> None:
    steps = EXAMPLE.read_text().split("size = ")[1].split("\n", 1)[1].split("probabilities, label")[0]
    for orientation, shape in ((1, (150, 91)), (6, (61, 150)), (8, (45, 20)), (3, (20, 20))):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.jpg"
        smooth = Image.fromarray(np.linspace(0, 255, 9 * 9 * 3).astype(np.uint8).reshape(9, 9, 3)).resize(shape)
        smooth.save(path, exif=exif, quality=95)
        names = {"Image": Image, "ImageOps": ImageOps, "photo": Image.open(path), "size": SIZE}
        exec(steps, names)
        difference = np.asarray(names["square"]).astype(int) - decode(path.read_bytes(), SIZE).pixels
        assert np.abs(difference).mean() < 2, (orientation, shape)
