"""Models: a day names its one classifier and one backbone; without them its run fails and writes nothing."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from deployment import DAY, Deployment


def graph_of(deployment: Deployment) -> Path:
    digest = json.loads((deployment.lake / "models" / "backbone.json").read_text())["backbone"]
    return deployment.lake / "models" / "backbone" / f"{digest}.onnx"


def classifier_of(deployment: Deployment) -> Path:
    version = json.loads((deployment.lake / "models" / "classifier.json").read_text())["classifier"]
    return deployment.lake / "models" / "classifier" / version


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


FAULTS = {
    "a damaged graph": lambda d: damage(graph_of(d)),
    "a missing graph": lambda d: graph_of(d).unlink(),
    "a missing classifier": lambda d: (classifier_of(d) / "evaluation.json").unlink(),
    "damaged coefficients": lambda d: damage(next(classifier_of(d).rglob("stages/*/data/*.parquet"))),
    "no classifier yet": lambda d: (d.lake / "models" / "classifier.json").unlink(),
}
MESSAGES = {
    "a damaged graph": "is damaged: its name should be its SHA-256",
    "a missing graph": ".onnx",
    "a missing classifier": "is missing or damaged",
    "damaged coefficients": "hecksum",
    "no classifier yet": "materialize classifier first",
}


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_day_without_its_models_fails_and_has_no_predictions(fault: str, deployment: Deployment) -> None:
    FAULTS[fault](deployment)
    assert MESSAGES[fault] in (deployment.failures("daily", DAY) or "green")
    assert deployment.rows("predictions", DAY) is None


def test_a_day_names_one_classifier_and_one_backbone(deployment: Deployment, expected: dict) -> None:
    rows = expected[DAY]["predictions"]
    assert {row["classifier"] for row in rows} == {classifier_of(deployment).name}
    assert {row["backbone"] for row in rows} == {graph_of(deployment).stem}


@pytest.mark.parametrize(
    ("call", "used"), [(2, "the new one"), (3, "the old one")], ids=["before the predictions", "while they are written"]
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
