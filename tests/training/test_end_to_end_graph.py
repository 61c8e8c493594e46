"""The end-to-end graph: one file predicts as backbone and MLlib do, and a file that does not fails its check."""

import hashlib
import json
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
from pipeline.training.classifier import Classifier, fit_classifier, predict
from pipeline.training.end_to_end_graph import GraphError, add_graph, build_graph
from pipeline.training.fitting import ClassifierParams
from pipeline.training.graph_parity import MAX_DIFFERENCE, GraphParity, measure_graph_parity
from resources.lake.lake import Lake
from resources.models.store import END_TO_END_GRAPH, ModelStore
from resources.settings import Settings
from resources.spark.session import SparkResource

# MLlib's OneVsRest never closes its pool of threads
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
    "linear svc": (3, ClassifierParams("linear_svc", "none", {"maxIter": 3})),
}


Judge = Callable[..., GraphParity]
Check = Callable[[Classifier], dg.AssetCheckResult]
BLACK = slice(-2, -1)


def make_pixels(label_count: int) -> tuple[np.ndarray, list[str]]:
    """Six noisy pictures of every label; a field in their corner never varies."""
    random = np.random.default_rng(label_count)
    colours = random.integers(0, 256, (label_count, 1, 1, 1, 3))
    noise = random.normal(0, 40, (label_count, 6, SIZE, SIZE, 3))
    pixels = np.clip(colours + noise, 0, 255).astype(np.uint8).reshape(-1, SIZE, SIZE, 3)
    pixels[:, :8, :8] = 9
    return pixels, [label for label in HOSTILE[:label_count] for _ in range(6)]


def make_probes(label_count: int) -> np.ndarray:
    """Pictures of every label, and noise, black (features of nothing but zeros) and white."""
    noise = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)
    ends = np.stack([np.zeros_like(noise[0]), np.full_like(noise[0], 255)])
    return np.concatenate([make_pixels(label_count)[0], noise, ends])


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


def answer(spark: SparkSession, backbone: Backbone, classifier: Classifier, pixels: np.ndarray) -> tuple:
    """Probabilities and labels, as MLlib has them."""
    rows = predict(make_features(spark, backbone, pixels, [None] * len(pixels)), classifier).orderBy("image_id")
    answers = rows.select("probabilities", "predicted_label").collect()
    shares = [[row["probabilities"][label] for label in classifier.labels] for row in answers]
    return np.array(shares), [row["predicted_label"] for row in answers]


def run(graph: bytes, pixels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    probabilities, labels = open_session(graph).run(["probabilities", "label"], {"pixels": pixels})
    return probabilities, labels.tolist()


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, spark: SparkSession, tiny_backbone: Backbone) -> tuple[Classifier, int]:
    label_count, params = CASES[request.param]
    training = make_features(spark, tiny_backbone, *make_pixels(label_count))
    return fit_classifier(training, params), label_count


def test_one_file_gives_the_probabilities_and_labels_of_mllib(
    spark: SparkSession, tiny_backbone: Backbone, case: tuple[Classifier, int]
) -> None:
    classifier, label_count = case
    pixels = make_probes(label_count)
    assert not load_backbone(tiny_backbone.path)(pixels[BLACK]).any()
    probabilities, labels = run(build_graph(tiny_backbone, classifier), pixels)
    expected, expected_labels = answer(spark, tiny_backbone, classifier, pixels)
    assert probabilities.dtype == np.float32
    assert np.abs(probabilities - expected).max() <= 1e-6
    assert labels == expected_labels
    assert len(set(labels)) > 1, "else any file would do"


@pytest.fixture(scope="module")
def images(spark: SparkSession, training_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> StoredRows:
    """The training folder as a table of a lake."""
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


def test_calibrated_probabilities_are_powers_of_the_head_s(
    spark: SparkSession, tiny_backbone: Backbone, classifier: Classifier
) -> None:
    plain = {name: value for name, value in classifier.report.items() if name != "calibration"}
    pixels = make_probes(3)
    shares, labels = answer(spark, tiny_backbone, replace(classifier, report=plain), pixels)
    for temperature in (0.5, 3.0):
        report = {**plain, "calibration": {**classifier.calibration.to_dict(), "temperature": temperature}}
        probabilities, named = run(build_graph(tiny_backbone, replace(classifier, report=report)), pixels)
        powers = shares ** (1 / temperature)
        assert np.abs(probabilities - powers / powers.sum(axis=1, keepdims=True)).max() <= 1e-6
        assert named == labels


def test_a_picture_is_answered_alike_alone_and_among_others(classifier: Classifier) -> None:
    pixels = make_probes(3)
    together, _ = run(classifier.graph, pixels)
    alone = np.concatenate([run(classifier.graph, pixel[None])[0] for pixel in pixels])
    assert np.abs(together - alone).max() <= 1e-6
    assert run(classifier.graph, pixels[:0])[0].shape == (0, 3)


def test_the_file_says_what_it_is(classifier: Classifier, tiny_backbone: Backbone) -> None:
    session = open_session(classifier.graph)
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["labels"]) == classifier.labels
    assert (said["classifier"], said["backbone"]) == (classifier.version, tiny_backbone.digest)
    temperature = str(classifier.calibration.temperature)
    assert (said["size"], said["licence"], said["temperature"]) == (str(SIZE), "none", temperature)
    assert [(each.name, each.shape) for each in session.get_outputs()] == [
        ("probabilities", ["n", len(COLOURS)]),
        ("label", ["n"]),
    ]
    assert build_graph(tiny_backbone, classifier) == classifier.graph, "the same classifier is the same file"


def test_a_backbone_of_the_oldest_opset_has_an_end_to_end_graph_too(
    spark: SparkSession, tiny_backbone: Backbone, classifier: Classifier, tmp_path: Path
) -> None:
    model = onnx.load(tiny_backbone.path)
    model.opset_import[0].version = 7
    path = tmp_path / "old.onnx"
    path.write_bytes(model.SerializeToString())
    graph = build_graph(replace(tiny_backbone, path=str(path)), classifier)
    assert np.array_equal(run(graph, make_probes(3))[0], run(classifier.graph, make_probes(3))[0])


def test_a_head_of_trees_has_no_file_and_says_why(trees: Classifier, tiny_backbone: Backbone) -> None:
    assert add_graph(trees, tiny_backbone).graph is None
    with pytest.raises(GraphError, match=r"cannot be exported: RandomForest.* is made of trees"):
        build_graph(tiny_backbone, trees)


def test_a_threshold_that_is_not_a_half_has_no_file(spark: SparkSession, tiny_backbone: Backbone) -> None:
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
    """Compares a file with the classifier."""

    def judge(content: bytes, stored: DataFrame = features) -> GraphParity:
        path = tmp_path / f"{hashlib.sha256(content).hexdigest()}.onnx"
        path.write_bytes(content)
        return measure_graph_parity(open_backbone(path), classifier, tiny_backbone, images, stored)

    return judge


def test_the_whole_holdout_is_answered_alike(judge: Judge, classifier: Classifier, features: DataFrame) -> None:
    parity = judge(classifier.graph)
    assert parity.holds, parity.message
    assert parity.compared_count == features.where("split = 'holdout'").count() > 0
    assert parity.example_count == len(COLOURS)
    assert parity.max_difference <= 1e-6
    assert "compared with stored features" in parity.message


def test_features_that_another_machine_rounded_otherwise_are_made_anew(
    judge: Judge, classifier: Classifier, features: DataFrame
) -> None:
    rounded = F.transform("features", lambda feature: F.round(feature, 2).cast("float"))
    parity = judge(classifier.graph, features.withColumn("features", rounded))
    assert parity.holds, parity.message
    assert "compared with new features" in parity.message


def scale_constant(model: onnx.ModelProto, width: int, factor: float) -> None:
    """Of the weights `[48, width]`."""
    (found,) = [each for each in model.graph.initializer if list(each.dims) == [48, width]]
    found.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(found) * factor, found.name))


def swap_labels(model: onnx.ModelProto) -> None:
    (found,) = [each for each in model.graph.initializer if each.data_type == onnx.TensorProto.STRING]
    found.string_data[:] = found.string_data[::-1]


def damage(model: onnx.ModelProto, change: Callable[[onnx.ModelProto], object]) -> bytes:
    """The file with a golden set that it holds, as one that was built wrongly would have."""
    change(model)
    session = open_session(model.SerializeToString())
    (golden,) = [each for each in model.metadata_props if each.key == KEY]
    contents = read_golden_set(golden.value).contents
    golden.value = make_golden_set(contents, embed_with(session), SIZE, "fp32").to_text()
    return model.SerializeToString()


def test_weights_that_are_a_little_off_are_found_out(judge: Judge, classifier: Classifier) -> None:
    damaged = damage(onnx.load_from_string(classifier.graph), lambda model: scale_constant(model, 3, 1.001))
    parity = judge(damaged)
    assert not parity.holds
    assert parity.max_difference > MAX_DIFFERENCE
    assert (parity.other_count, parity.missing_count, parity.other_examples) == (0, 0, [])


def test_names_in_another_order_are_found_out(judge: Judge, classifier: Classifier) -> None:
    damaged = damage(onnx.load_from_string(classifier.graph), swap_labels)
    parity = judge(damaged)
    assert not parity.holds
    assert parity.max_difference <= MAX_DIFFERENCE
    assert parity.other_examples == ["blue", "red"]


def test_a_file_for_other_labels_is_found_out(judge: Judge, tiny_backbone: Backbone, features: DataFrame) -> None:
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


def test_the_check_tells_where_the_file_lies_and_how_near_it_is(
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


def test_a_file_that_was_damaged_where_it_lies_fails_the_check(
    check: Check, store: ModelStore, classifier: Classifier, features: DataFrame
) -> None:
    store.save("classifier_candidate", classifier)
    file = Path(store.graph_location(classifier.version))
    file.write_bytes(damage(onnx.load(file), swap_labels))
    result = check(classifier)
    assert not result.passed
    assert "2 of 3 sample images got a different label" in result.description


def test_a_head_without_a_file_passes_the_check_with_the_reason(
    check: Check, store: ModelStore, trees: Classifier, features: DataFrame
) -> None:
    store.save("classifier_candidate", trees)
    result = check(trees)
    assert result.passed
    assert "no classifier.onnx: RandomForest" in result.description
    assert not Path(store.graph_location(trees.version)).exists()


def test_an_old_classifier_without_a_file_loads_fails_the_check_and_gets_one_by_the_next_training(
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


def test_a_day_does_not_read_the_file(store: ModelStore, classifier: Classifier) -> None:
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
def test_the_example_of_the_documentation_scores_a_photo_without_daylight(
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


def test_the_example_turns_a_photo_upright_and_pads_it_as_daylight_does(make_photo: MakePhoto, tmp_path: Path) -> None:
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
