"""The backbone of a deployment: one setting changes it, invalid input never does, and the UI marks stale assets."""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import onnx
import pytest
from conftest import SIZE, MakePhoto, make_tiny_graph
from convolutions import make_convolutions
from failures import reason
from onnx import TensorProto, helper, numpy_helper
from private_dagster import CachingStaleStatusResolver, LoadingContextForTest, StaleStatus

from assets.definitions import build_definitions
from pipeline.networks.known_photos import load_known_photos
from pipeline.networks.pretrained import PretrainedError
from resources.lake.lake import Lake
from resources.models.catalogue import BackboneCatalogue
from resources.settings import Settings, read_settings

DAY = "2026-11-20"


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two user-supplied networks."""
    folder = tmp_path_factory.mktemp("networks")
    for name, model in (("fields", make_tiny_graph()), ("convolutions", make_convolutions())):
        onnx.save(model, folder / f"{name}.onnx")
    return {name: str(folder / f"{name}.onnx") for name in ("fields", "convolutions")}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, training_folder: Path, networks: dict[str, str]) -> Settings:
    root = tmp_path_factory.mktemp("deployment")
    day = root / "landing" / "days" / DAY
    shutil.copytree(training_folder / "red", day)
    return read_settings().replace(
        landing=str(root / "landing"),
        training=str(training_folder),
        lake=str(root / "lake"),
        backbone=networks["fields"],
        pixel_scaling="unit",
        fit="letterbox",
        precision="fp32",
    )


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("instance"))) as instance:
        yield instance


Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture(scope="module")
def run(settings: Settings, instance: dg.DagsterInstance) -> Run:
    def run(job: str, day: str = "", **changes: object) -> dg.ExecuteInProcessResult:
        job_def = build_definitions(settings.replace(**changes)).resolve_job_def(job)
        config = {"ops": {"gate": {"config": {"accept_equal": True}}}} if job == "training" else {}
        return job_def.execute_in_process(config, instance=instance, partition_key=day or None, raise_on_error=False)

    return run


def make_backbone(
    settings: Settings, instance: dg.DagsterInstance, *others: str, **changes: object
) -> dg.ExecuteInProcessResult:
    """Materializes the backbone with its checks, after any other assets."""
    definitions = build_definitions(settings.replace(**changes))
    job = definitions.resolve_implicit_global_asset_job_def()
    selection = [dg.AssetKey(name) for name in (*others, "backbone")]
    return job.execute_in_process(instance=instance, asset_selection=selection, raise_on_error=False)


def pointer(settings: Settings) -> str:
    return Path(settings.lake, "models", "backbone.json").read_text()


def detector() -> onnx.ModelProto:
    """A network that returns boxes and scores."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["boxes"]),
        helper.make_node("Softmax", ["boxes"], ["scores"]),
    ]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "detector",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("boxes", "scores")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def with_input(shape: list[int | str]) -> onnx.ModelProto:
    model = make_tiny_graph()
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("planes", TensorProto.FLOAT, shape))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("flat", TensorProto.FLOAT, [shape[0], "d"]))
    return model


INVALID = {
    "a truncated graph": lambda path: path.write_bytes(make_convolutions().SerializeToString()[:5000]),
    "a text": lambda path: path.write_text("This is not a network.\n"),
    "an empty file": lambda path: path.write_bytes(b""),
    "a detector": lambda path: onnx.save(detector(), path),
    "a fixed batch of 3": lambda path: onnx.save(with_input([3, 3, SIZE, SIZE]), path),
    "four channels": lambda path: onnx.save(with_input(["n", 4, SIZE, SIZE]), path),
    "no square": lambda path: onnx.save(with_input(["n", 3, SIZE, 2 * SIZE]), path),
}


@pytest.mark.parametrize("make", INVALID.values(), ids=INVALID)
def test_an_invalid_file_gives_a_one_line_error_and_keeps_the_former_backbone(
    settings: Settings, instance: dg.DagsterInstance, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    assert make_backbone(settings, instance).success
    before = pointer(settings)
    invalid_file = tmp_path / "invalid_file.onnx"
    make(invalid_file)
    result = make_backbone(settings, instance, backbone=str(invalid_file))
    assert not result.success
    message = reason(result)
    assert message.count("\n") == 0, message
    assert str(invalid_file) in message
    assert pointer(settings) == before


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"backbone": "resnet"}, "there is no backbone 'resnet': set DAYLIGHT_BACKBONE to one of efficientnet-lite0,"),
        ({"backbone": "/nowhere/network.onnx"}, "/nowhere/network.onnx does not exist"),
        ({"backbone": "resnet50", "weights": "/nowhere.h5"}, "/nowhere.h5 do not exist: set DAYLIGHT_WEIGHTS to"),
        ({"precision": "int8"}, "materialize precision_measurement first, or set DAYLIGHT_PRECISION=fp32"),
        ({"features_tensor": "nose"}, "DAYLIGHT_FEATURES_TENSOR"),
    ],
)
def test_an_invalid_setting_gives_a_one_line_error_and_keeps_the_former_backbone(
    settings: Settings, instance: dg.DagsterInstance, changes: dict[str, str], expected: str
) -> None:
    assert make_backbone(settings, instance).success
    before = pointer(settings)
    message = reason(make_backbone(settings, instance, **changes))
    assert expected in message
    assert message.count("\n") == 0
    assert pointer(settings) == before


def test_a_graph_is_exported_once_and_reused(settings: Settings, networks: dict[str, str], tmp_path: Path) -> None:
    lake = Lake(root=str(tmp_path))
    first, second = (BackboneCatalogue(name=path, pixel_scaling="unit", lake=lake) for path in networks.values())
    exported = first.export()
    assert second.export().digest != exported.digest
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "models" / "backbone").glob("*.onnx")}
    assert first.export() == exported
    assert times == {file: file.stat().st_mtime_ns for file in (tmp_path / "models" / "backbone").glob("*.onnx")}


def test_a_graph_is_compared_with_its_network_once_and_again_after_a_change_of_the_network(
    networks: dict[str, str], tmp_path: Path
) -> None:
    unit, caffe = (
        BackboneCatalogue(name=networks["fields"], pixel_scaling=scaling, lake=Lake(root=str(tmp_path)))
        for scaling in ("unit", "caffe")
    )
    backbone = unit.export()
    assert unit.examine(backbone).parity.is_within("fp32")
    (note,) = (tmp_path / "models" / "backbone" / "examinations").iterdir()
    note.write_text(re.sub('"smallest_cosine": [^,}]*', '"smallest_cosine": 0.5', note.read_text()))
    assert not unit.examine(backbone).parity.is_within("fp32")
    assert caffe.examine(caffe.export()).parity.is_within("fp32")


def test_a_damaged_graph_or_one_that_fails_its_golden_set_is_exported_again(
    networks: dict[str, str], tmp_path: Path
) -> None:
    """A Pillow upgrade that changes decoding, for instance, invalidates the golden set."""
    catalogue = BackboneCatalogue(name=networks["fields"], pixel_scaling="unit", lake=Lake(root=str(tmp_path)))
    exported = catalogue.export()
    whole = Path(exported.path).read_bytes()
    Path(exported.path).write_bytes(whole[:100])
    assert catalogue.export() == exported
    assert Path(exported.path).read_bytes() == whole

    aged = onnx.load(exported.path)
    scale = next(tensor for tensor in aged.graph.initializer if tensor.dims == [3, 1, 1])
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(1.1), scale.name))
    content = aged.SerializeToString()
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / "models" / "backbone" / f"{digest}.onnx").write_bytes(content)
    (recipe,) = (tmp_path / "models" / "backbone" / "recipes").iterdir()
    recipe.write_text(digest)
    assert catalogue.export() == exported


def test_int8_keeps_its_first_calibration(networks: dict[str, str], tmp_path: Path) -> None:
    catalogue = BackboneCatalogue(
        name=networks["convolutions"], pixel_scaling="unit", lake=Lake(root=str(tmp_path / "lake"))
    )
    fp32 = catalogue.export()
    assert catalogue.find_int8(fp32) is None
    with pytest.raises(PretrainedError, match="is calibrated on labelled images, and there are none"):
        catalogue.export(precision="int8")
    contents = [photo.content for photo in load_known_photos()]
    exported = catalogue.export(precision="int8", calibration=contents)
    assert exported.precision == "int8"
    assert (
        catalogue.export(precision="int8") == catalogue.export(precision="int8", calibration=contents[:3]) == exported
    )
    assert catalogue.find_int8(fp32) == exported


def test_an_unknown_precision_is_refused(networks: dict[str, str], tmp_path: Path) -> None:
    catalogue = BackboneCatalogue(name=networks["fields"], lake=Lake(root=str(tmp_path)))
    with pytest.raises(PretrainedError, match="there is no precision 'fp16': the precisions are fp32 and int8"):
        catalogue.export(precision="fp16")


def test_one_invalid_name_among_many_is_reported_before_the_first_export(
    networks: dict[str, str], tmp_path: Path
) -> None:
    catalogue = BackboneCatalogue(lake=Lake(root=str(tmp_path)))
    with pytest.raises(PretrainedError, match="there is no backbone 'resnet'"):
        catalogue.export_all([networks["fields"], "resnet"], ["fp32"], [])
    with pytest.raises(PretrainedError, match="there is no precision 'fp16'"):
        catalogue.export_all([networks["fields"]], ["fp32", "fp16"], [])
    assert not any(tmp_path.iterdir())
    exported = list(catalogue.export_all(list(networks.values()), ["fp32"], []))
    assert [each.name for each in exported] == ["fields.onnx", "convolutions.onnx"]


def test_a_user_supplied_network_matches_itself_and_its_recognition_check_only_warns(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    result = make_backbone(settings, instance)
    assert result.success
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert checks["backbone_matches_its_network"].passed
    unknown = checks["backbone_recognises_known_photos"]
    assert not unknown.passed
    assert unknown.severity == dg.AssetCheckSeverity.WARN, "unknown features must not stop a run"


def stale_assets(settings: Settings, instance: dg.DagsterInstance) -> dict[str, set[str]]:
    """Returns the assets that the UI marks as unsynced, with the causes."""
    graph = build_definitions(settings).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    marked = {}
    for key in graph.get_all_asset_keys():
        days = [DAY] if graph.get(key).is_partitioned else [None]
        for day in days:
            if resolver.get_status(key, day) == StaleStatus.STALE:
                marked[key.to_user_string()] = {cause.reason for cause in resolver.get_stale_causes(key, day)}
    return marked


@pytest.fixture(scope="module")
def completed(run: Run) -> None:
    """Trains and predicts a day."""
    assert run("training").success
    assert run("daily", DAY).success


@pytest.mark.slow
def test_a_backbone_change_is_safe_and_visible_and_changing_back_uses_the_cache(
    completed: None, run: Run, settings: Settings, instance: dg.DagsterInstance, networks: dict[str, str]
) -> None:
    assert stale_assets(settings, instance) == {}

    changed = settings.replace(backbone=networks["convolutions"])
    assert make_backbone(changed, instance).success
    marked = stale_assets(changed, instance)
    assert {"training_features", "image_features"} <= marked.keys(), marked

    refused = run("daily", DAY, backbone=changed.backbone)
    assert not refused.success
    assert "materialize the group training" in str(
        [e.step_failure_data.error for e in refused.all_events if e.is_step_failure]
    )

    lenient = {"max_calibration_error": 1.0, "max_slowdown": 100.0, "max_growth": 10.0}  # toy networks
    trained = run("training", backbone=changed.backbone, **lenient)
    assert trained.success
    assert run("daily", DAY, backbone=changed.backbone).success
    assert stale_assets(changed, instance) == {}

    restored = run("training", **lenient)
    assert restored.success
    (features,) = restored.asset_materializations_for_node("training_features")
    assert features.metadata["embedded_count"].value == 0
    assert features.metadata["cache_hit_count"].value == 90
    assert run("daily", DAY).success


def test_retraining_with_equal_results_makes_nothing_stale(
    completed: None, run: Run, settings: Settings, instance: dg.DagsterInstance
) -> None:
    assert run("training").success
    assert stale_assets(settings, instance) == {}


def test_changed_training_images_make_training_assets_stale_but_no_day(
    completed: None, settings: Settings, instance: dg.DagsterInstance, tmp_path: Path, make_photo: MakePhoto
) -> None:
    """The backbone depends on the images, but its version is its digest."""
    shutil.copytree(settings.training, tmp_path, dirs_exist_ok=True)
    (tmp_path / "red" / "another.jpg").write_bytes(make_photo("red", 4000))
    changed = settings.replace(training=str(tmp_path))
    job = build_definitions(changed).resolve_implicit_global_asset_job_def()
    images = [dg.AssetKey("training_images")]
    assert job.execute_in_process(instance=instance, asset_selection=images).success
    downstream = {"training_features", "near_duplicates", "training_split", "classifier_candidate", "label_issues"}
    assert stale_assets(changed, instance).keys() == {"precision_measurement", "backbone", *downstream}
    before = pointer(settings)
    assert make_backbone(changed, instance, "precision_measurement").success
    assert pointer(settings) == before
    assert stale_assets(changed, instance).keys() == downstream
