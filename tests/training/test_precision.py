"""The precision: int8 where it is faster and as accurate on the user's images; the choice is explained and stable."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import onnx
import pytest
from conftest import MakePhoto
from convolutions import make_convolutions
from failures import reason
from pyspark.sql import DataFrame, SparkSession

from assets.definitions import build_definitions, build_resources
from assets.training.backbone import int8_costs_little
from pipeline.embed import int8_support as processor
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.networks.pretrained import PretrainedError
from pipeline.training import precision
from pipeline.training.precision import (
    PrecisionChoice,
    PrecisionCosts,
    choose_precision,
    describe_precision,
    measure_cosines,
    measure_loss_error,
    sample_labelled,
)
from resources.models.catalogue import BackboneCatalogue
from resources.models.precision import Precisions
from resources.settings import Settings, read_settings

pytestmark = pytest.mark.filterwarnings("ignore:unclosed running multiprocessing pool:ResourceWarning")

COSTS = PrecisionCosts(
    fp32_accuracy=0.9,
    int8_accuracy=0.898,
    holdout_count=341,
    picture_count=3409,
    mean_cosine=0.993,
    smallest_cosine=0.95,
    fp32_pictures_per_second=100.0,
    int8_pictures_per_second=190.0,
)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "int8: 1.9 times as fast as fp32, accuracy 0.898 against 0.900 on 341 images"),
        ({"int8_accuracy": 0.895}, "int8: 1.9 times as fast as fp32, accuracy 0.895 against 0.900 on 341 images"),
        (
            {"int8_accuracy": 0.894},
            "fp32: int8 is 1.9 times as fast, but loses more than half a point: accuracy 0.894 against 0.900 on 341"
            " images",
        ),
        (
            {"int8_accuracy": 0.89, "loss_error": 0.006},
            "int8: 1.9 times as fast as fp32, accuracy 0.890 against 0.900 on 341 images, which may be chance"
            " (± 0.006)",
        ),
        (
            {"int8_accuracy": 0.888, "loss_error": 0.006},
            "fp32: int8 is 1.9 times as fast, but loses more than half a point: accuracy 0.888 against 0.900 on 341"
            " images",
        ),
        (
            {"int8_pictures_per_second": 90.0},
            "fp32: int8 is no faster, 0.9 times as fast, accuracy 0.898 against 0.900 on 341 images",
        ),
        (
            {"int8_pictures_per_second": 90.0, "int8_accuracy": 0.95},
            "int8: 0.9 times as fast as fp32, accuracy 0.950 against 0.900 on 341 images",
        ),
    ],
)
def test_the_faster_precision_wins_within_half_a_point_of_accuracy(changes: dict[str, float], reason: str) -> None:
    costs = replace(COSTS, **changes)
    choice = choose_precision(costs)
    assert (choice.reason, choice.precision, choice.costs) == (reason, reason.split(":")[0], costs)


def test_int8_that_fails_a_check_is_rejected_however_fast() -> None:
    choice = choose_precision(COSTS, "it names only 30% of the known photos rightly")
    assert choice.precision == "fp32"
    assert choice.reason == "fp32: int8 is 1.9 times as fast, but it names only 30% of the known photos rightly"


def test_the_report_gives_the_reason_and_every_measurement() -> None:
    report = describe_precision(choose_precision(COSTS))
    assert report.texts == {"why": "int8: 1.9 times as fast as fp32, accuracy 0.898 against 0.900 on 341 images"}
    assert report.numbers["int8_speedup"] == pytest.approx(1.9)
    assert report.numbers["int8_smallest_cosine"] == 0.95
    assert len(report.numbers) == 10
    assert describe_precision(PrecisionChoice("fp32", "fp32: set by hand")).numbers == {}


def test_the_error_of_a_loss_comes_from_the_images_that_only_one_of_both_names() -> None:
    ids, labels = np.array(list("abcdefgh"), object), np.array(["x"] * 8, object)
    wrong = np.array(["y"] + ["x"] * 7, object)
    shares = np.tile([0.6, 0.4], (8, 1))
    exact = LabelledPredictions(ids, labels, labels, ("x", "y"), shares)
    rounded = LabelledPredictions(ids[::-1], labels, wrong, ("x", "y"), shares)
    assert measure_loss_error(exact, rounded) == pytest.approx(np.sqrt(1 / 8 - 1 / 64) / np.sqrt(8))
    assert measure_loss_error(exact, exact) == 0


def vectors(spark: SparkSession, rows: dict[str, list[int] | None]) -> DataFrame:
    frame = spark.createDataFrame(list(rows.items()), "image_id string, features array<int>")
    return frame.withColumn("features", frame["features"].cast("array<float>"))


def test_cosines_compare_vectors_of_the_same_image_and_two_zero_vectors_are_equal(spark: SparkSession) -> None:
    exact = vectors(spark, {"a": [1, 0], "b": [0, 0], "c": [0, 0], "d": [1, 1], "e": None, "f": [1, 1]})
    rounded = vectors(spark, {"d": [1, 0], "c": [1, 0], "b": [0, 0], "a": [3, 0], "e": None, "g": [1, 1]})
    np.testing.assert_allclose(measure_cosines(exact, rounded), [1, 1, 0, 0.5**0.5])


def test_the_number_of_cosines_is_limited(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "MAX_COSINES", 2)
    exact = vectors(spark, {"c": [1, 1], "a": [1, 0], "b": [0, 1]})
    np.testing.assert_allclose(measure_cosines(exact, vectors(spark, {"a": [1, 0], "b": [1, 0], "c": [1, 1]})), [1, 0])


def test_the_sample_holds_the_images_with_the_smallest_digests(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "MAX_IMAGES", 2)
    rows = [("c", "x"), ("b", "x"), ("b", "y"), ("a", "x"), (None, "x")]
    assert sample_labelled(spark.createDataFrame(rows, "image_id string, label string")) == ["a", "b"]


def test_the_sample_has_few_labels_so_that_it_has_many_images_of_each(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "MAX_LABELS", 2)
    rows = [(f"{label}{number}", label) for label in "wxyz" for number in range(3)]
    ids = sample_labelled(spark.createDataFrame(rows, "image_id string, label string"))
    assert len(ids) == 6
    assert len({image_id[0] for image_id in ids}) == 2


@pytest.fixture
def settings(tmp_path: Path, training_folder: Path) -> Settings:
    onnx.save(make_convolutions(), tmp_path / "convolutions.onnx")
    return read_settings().replace(
        training=str(training_folder),
        lake=str(tmp_path / "lake"),
        backbone=str(tmp_path / "convolutions.onnx"),
        pixel_scaling="unit",
        fit="letterbox",
        precision="auto",
    )


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


CHOICE = ("precision_measurement", "backbone")

Make = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def make(settings: Settings, instance: dg.DagsterInstance, spark: SparkSession) -> Make:
    """Materializes assets with their checks; `changes` override settings."""

    def make(*assets: str, config: dict | None = None, **changes: object) -> dg.ExecuteInProcessResult:
        job = build_definitions(settings.replace(**changes)).resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            run_config={"ops": {"precision_measurement": {"config": config}}} if config else {},
            instance=instance,
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            raise_on_error=False,
        )

    return make


def backbone_metadata(result: dg.ExecuteInProcessResult) -> dict:
    assert result.success, [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    (event,) = result.asset_materializations_for_node("backbone")
    return {name: value.value for name, value in event.metadata.items()}


def check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = [each for each in result.get_asset_check_evaluations() if each.check_name == "int8_costs_little"]
    return found


def record_files(settings: Settings) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in Path(settings.lake, "models/backbone/precision").glob("*")}


def test_auto_measures_once_and_ignores_a_growing_training_set(
    make: Make, settings: Settings, training_folder: Path, tmp_path: Path, make_photo: MakePhoto
) -> None:
    first = backbone_metadata(make("training_images", *CHOICE))
    assert first["precision"] == first["why"].split(":")[0]
    assert first["fp32_accuracy"] > 0.9
    assert 0.99 < first["int8_smallest_cosine"] <= first["int8_mean_cosine"] <= 1
    assert first["image_count"] == 90
    assert f"on {first['holdout_count']} images" in first["why"]
    (kept,) = record_files(settings).items()

    shutil.copytree(training_folder, tmp_path / "more")
    (tmp_path / "more" / "red" / "another.jpg").write_bytes(make_photo("red", 777))
    grown = {"training": str(tmp_path / "more")}
    again = backbone_metadata(make("training_images", *CHOICE, **grown))
    assert (again["digest"], again["why"], again["image_count"]) == (first["digest"], first["why"], 90)
    assert dict([kept]) == record_files(settings)

    remeasured = backbone_metadata(make(*CHOICE, config={"measure_again": True}, **grown))
    assert remeasured["image_count"] == 91
    assert dict([kept]) != record_files(settings)


def test_requested_int8_is_calibrated_on_labelled_images_and_measured(make: Make) -> None:
    result = make("training_images", *CHOICE, precision="int8")
    metadata = backbone_metadata(result)
    assert metadata["precision"] == "int8"
    assert metadata["why"].startswith("int8: set by DAYLIGHT_PRECISION; measured: ")
    assert metadata["calibration"].endswith("pictures, mean of the extremes of every 8")
    assert check(result).metadata["loss"].value == pytest.approx(
        metadata["fp32_accuracy"] - metadata["int8_accuracy"], abs=1e-4
    )
    assert check(result).passed == (metadata["fp32_accuracy"] - metadata["int8_accuracy"] <= 0.005)


def test_fp32_needs_no_labelled_images(make: Make, settings: Settings) -> None:
    result = make(*CHOICE, precision="fp32")
    assert backbone_metadata(result)["why"] == "fp32: set by DAYLIGHT_PRECISION"
    assert (check(result).passed, check(result).description) == (True, "fp32 in use")
    assert record_files(settings) == {}


@pytest.mark.parametrize("setting", ["auto", "int8"])
def test_without_labelled_images_the_error_names_the_asset_to_materialize(make: Make, setting: str) -> None:
    message = reason(make(*CHOICE, precision=setting))
    assert f"DAYLIGHT_PRECISION={setting} needs labelled images: there is no table" in message
    assert message.endswith("materialize training_images first, or set DAYLIGHT_PRECISION=fp32")


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (["red"], "training needs images of at least two labels, but all usable images have the label 'red'"),
        (["red", "blue"], "training needs a holdout, but none of the usable images is in it"),
    ],
)
def test_too_few_images_to_measure_give_fp32_without_a_failure(
    make: Make, settings: Settings, training_folder: Path, tmp_path: Path, labels: list[str], why: str
) -> None:
    for label in labels:
        shutil.copytree(training_folder / label, tmp_path / "few" / "train" / label)
    metadata = backbone_metadata(make("training_images", *CHOICE, training=str(tmp_path / "few")))
    assert metadata["precision"] == "fp32"
    assert metadata["why"].startswith(f"fp32: int8 could not be measured: {why}")
    assert record_files(settings) == {}, "a later run with more images measures"
    forced = make("backbone", precision="int8")
    assert backbone_metadata(forced)["precision"] == "int8"
    assert not check(forced).passed
    assert "unknown" in str(check(forced).description)


def test_the_error_for_an_unmeasured_backbone_names_the_asset_to_materialize(make: Make) -> None:
    assert make("training_images").success
    message = reason(make("backbone"))
    assert (
        "DAYLIGHT_PRECISION=auto needs a measurement of convolutions.onnx on labelled images, and there is none"
        in message
    )
    assert "materialize precision_measurement first, or set DAYLIGHT_PRECISION=fp32" in message


@pytest.fixture
def old_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text("model name\t: Old Xeon\nflags\t\t: fpu sse2 avx2\n")
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")


def test_on_a_processor_without_dot_products_auto_chooses_fp32_unmeasured(
    make: Make, settings: Settings, old_processor: None
) -> None:
    metadata = backbone_metadata(make(*CHOICE))
    assert metadata["precision"] == "fp32"
    assert metadata["why"].startswith("fp32: this processor (Old Xeon) has no 8-bit dot products")
    assert record_files(settings) == {}


def test_on_a_processor_without_dot_products_int8_is_refused_with_the_reason(
    make: Make, settings: Settings, old_processor: None
) -> None:
    expected = (
        r"this processor (Old Xeon) has no 8-bit dot products (AVX-512 VNNI, AVX-VNNI, ARM dot product): int8 would be"
    )
    message = reason(make(*CHOICE, precision="int8"))
    assert expected in message
    assert "set DAYLIGHT_PRECISION to fp32 or auto" in message
    catalogue = build_resources(settings)["catalogue"]
    assert isinstance(catalogue, BackboneCatalogue)
    with pytest.raises(PretrainedError, match="leave int8 out of the bake-off"):
        catalogue.export_all([settings.backbone], ["fp32", "int8"], [])
    assert not list(Path(settings.lake).rglob("*.onnx")), "it fails before the first export"


@pytest.mark.parametrize(("int8_accuracy", "passed"), [(0.9, True), (0.895, True), (0.894, False)])
def test_an_accuracy_loss_above_half_a_point_fails_the_check(
    settings: Settings, make_photo: MakePhoto, int8_accuracy: float, passed: bool
) -> None:
    resources = build_resources(settings)
    catalogue, precisions = resources["catalogue"], resources["precisions"]
    assert isinstance(catalogue, BackboneCatalogue)
    assert isinstance(precisions, Precisions)
    int8 = catalogue.export(precision="int8", calibration=[make_photo("red", seed) for seed in range(8)])
    assert not int8_costs_little(int8, precisions).passed, "nothing was measured"
    precisions.keep(int8, choose_precision(replace(COSTS, int8_accuracy=int8_accuracy)))
    result = int8_costs_little(int8, precisions)
    assert (result.passed, result.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert int8_costs_little(catalogue.export(), precisions).passed, "fp32 loses nothing"
