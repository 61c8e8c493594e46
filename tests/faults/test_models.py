"""Models: a day names its one classifier and one backbone; without them its run fails and writes nothing."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import DAY, NEXT_DAY, Deployment, find_last_lines
from pyspark.sql import SparkSession

from pipeline.training.classifier import predict
from resources.lake.lake import Lake
from resources.models.damage import ModelError
from resources.models.store import ModelStore
from resources.spark.session import SparkResource

NEW_DAY = "2026-11-22"


def graph_of(deployment: Deployment) -> Path:
    digest = json.loads((deployment.lake / "models" / "backbone.json").read_text())["backbone"]
    return deployment.lake / "models" / "backbone" / f"{digest}.onnx"


def classifier_of(deployment: Deployment) -> Path:
    version = json.loads((deployment.lake / "models" / "classifier.json").read_text())["classifier"]
    return deployment.lake / "models" / "classifier" / version


def coefficients_of(deployment: Deployment) -> Path:
    return next(classifier_of(deployment).rglob("stages/*/data/*.parquet"))


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


FAULTS = {
    "a damaged graph": lambda d: damage(graph_of(d)),
    "half a graph": lambda d: cut(graph_of(d)),
    "a missing graph": lambda d: graph_of(d).unlink(),
    "a missing classifier": lambda d: (classifier_of(d) / "evaluation.json").unlink(),
    "half an evaluation": lambda d: cut(classifier_of(d) / "evaluation.json"),
    "missing stages": lambda d: remove(classifier_of(d) / "stages"),
    "damaged coefficients": lambda d: damage(coefficients_of(d)),
    "half the coefficients": lambda d: cut(coefficients_of(d)),
    "no classifier yet": lambda d: (d.lake / "models" / "classifier.json").unlink(),
}
MESSAGES = {
    "a damaged graph": "is damaged: its name should be its SHA-256",
    "half a graph": "is damaged: its name should be its SHA-256",
    "a missing graph": ".onnx",
    "a missing classifier": "is missing or damaged",
    "half an evaluation": "is missing or damaged",
    "missing stages": "is missing or damaged",
    "damaged coefficients": "hecksum",
    "half the coefficients": "is missing or damaged",
    "no classifier yet": "materialize classifier first",
}


@pytest.fixture
def predicted(expected: dict, shared: Path, tmp_path: Path) -> Iterator[Deployment]:
    """A copy of the deployment with two predicted days and a new one."""
    deployment = Deployment(shared / "expected").copy(tmp_path)
    shutil.copytree(deployment.folder(DAY), deployment.folder(NEW_DAY), dirs_exist_ok=True)
    yield deployment
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_day_without_its_models_fails_in_one_sentence_and_has_no_predictions(
    fault: str, predicted: Deployment, expected: dict
) -> None:
    FAULTS[fault](predicted)
    (line,) = find_last_lines(predicted.failures("daily", NEW_DAY) or "")
    assert line.startswith("ModelError: ")
    assert MESSAGES[fault] in line
    assert any(cure in line for cure in ("materialize", "launch the job training"))
    assert predicted.rows("predictions", NEW_DAY) is None
    for day in (DAY, NEXT_DAY):
        assert predicted.all_rows(day) == expected[day]


@pytest.mark.usefixtures("spark")
def test_a_classifier_of_which_any_file_is_missing_or_cut_is_refused_or_predicts_the_same(
    predicted: Deployment, spark_resource: SparkResource, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Some copies leave out files whose names begin with a dot, which hold Hadoop's checksums."""
    lake = Lake(root=str(predicted.lake))
    store, features = ModelStore(lake=lake, spark=spark_resource), lake.read(spark, "image_features", [DAY]).frame
    folder, whole = classifier_of(predicted), tmp_path_factory.mktemp("classifier") / "whole"
    shutil.copytree(folder, whole)

    def predict_day() -> list[str]:
        return sorted(map(str, predict(features, store.open_classifier(folder.name)).collect()))

    wanted, refused, accepted = predict_day(), [], []
    for path in sorted(path.relative_to(whole) for path in whole.rglob("*")):
        for has_checksums in (True, False):
            for fault in (remove, cut) if (whole / path).is_file() else (remove,):
                shutil.rmtree(folder)
                shutil.copytree(whole, folder, ignore=None if has_checksums else shutil.ignore_patterns(".*"))
                if not (folder / path).exists():
                    continue
                fault(folder / path)
                try:
                    assert predict_day() == wanted, f"{fault.__name__} {path}"
                    accepted.append(str(path))
                except ModelError as error:
                    text = str(error)
                    assert "\n" not in text
                    assert folder.name in text
                    assert "launch the job training" in text or "materialize it again" in text
                    refused.append(str(path))
    assert {"evaluation.json", "metadata", "stages"} <= set(refused)
    assert not {path for path in accepted if path.endswith(".parquet") and path.startswith("stages")}


def test_a_day_names_one_classifier_and_one_backbone(deployment: Deployment, expected: dict) -> None:
    rows = expected[DAY]["predictions"]
    assert {row["classifier"] for row in rows} == {classifier_of(deployment).name}
    assert {row["backbone"] for row in rows} == {graph_of(deployment).stem}


@pytest.mark.parametrize(
    ("call", "used"), [(3, "the new one"), (4, "the old one")], ids=["before the predictions", "while they are written"]
)
def test_a_promotion_during_a_run_never_mixes_classifiers(call: int, used: str, deployment: Deployment) -> None:
    old = classifier_of(deployment)
    shutil.copytree(old, old.with_name("the new one"))
    options = ("--kill", "resources.lake.lake:replace_rows", "--signal", "SIGSTOP", "--call", str(call))
    run = deployment.start("daily", DAY, *options)
    run.wait_for_stop()
    (deployment.lake / "models" / "classifier.json").write_text(json.dumps({"classifier": "the new one"}))
    run.process.send_signal(signal.SIGCONT)
    run.wait()
    assert run.is_good, run.text
    named = {row["classifier"] for row in deployment.rows("predictions", DAY)}
    assert named == {used if used == "the new one" else old.name}


@pytest.mark.usefixtures("spark")
def test_features_of_another_backbone_fail_with_the_cure(deployment: Deployment) -> None:
    classifier = classifier_of(deployment)
    evaluation = json.loads((classifier / "evaluation.json").read_text())
    (classifier / "evaluation.json").write_text(json.dumps(evaluation | {"backbone": "0" * 64}))
    assert "train with the current backbone" in (deployment.failures("daily", DAY) or "green")
    assert deployment.rows("predictions", DAY) is None
