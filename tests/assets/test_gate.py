"""The gate on complete training runs: bad candidates are planted, and none is promoted.

Each test runs a training. `test_gate_rules.py` covers single rules, `test_end_to_end.py` two refusals in Dagster.
"""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import numpy as np
import onnx
import pytest
from conftest import COLOURS, SIZE, make_tiny_graph
from PIL import Image
from pyspark.sql import SparkSession

from assets.definitions import build_definitions
from resources.settings import Settings, read_settings

pytestmark = pytest.mark.slow

TRAIN_COUNT, HOLDOUT_COUNT = 50, 60
"""Images per colour."""


class Deployment:
    """A training folder of images that are hard to distinguish, and a lake."""

    def __init__(self, root: Path, recall_floor: float = 0.5) -> None:
        self.training = root / "training"
        self.settings: Settings = read_settings().replace(
            landing=str(root / "landing"),
            training=str(self.training),
            lake=str(root / "lake"),
            backbone=str(root / "tiny.onnx"),
            pixel_scaling="unit",
            fit="letterbox",
            precision="fp32",
            accuracy_floor=0.6,
            recall_floor=recall_floor,
        )

    def train(self, gate: dict | None = None, **config: object) -> dg.ExecuteInProcessResult:
        ops = {"classifier_candidate": {"config": config}, "gate": {"config": gate or {}}}
        with dg.DagsterInstance.ephemeral() as instance:
            job = build_definitions(self.settings).resolve_job_def("training")
            return job.execute_in_process({"ops": ops}, instance=instance, raise_on_error=False)

    def promoted(self) -> str:
        return json.loads(Path(self.settings.lake, "models", "classifier.json").read_text())["classifier"]


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Deployment:
    """A deployment whose current classifier is right nine times in ten."""
    root = tmp_path_factory.mktemp("gate")
    onnx.save(make_tiny_graph(), root / "tiny.onnx")
    deployment = Deployment(root)
    generator = np.random.default_rng(1)
    for label, colour in COLOURS.items():
        for split, count in (("train", TRAIN_COUNT), ("test", HOLDOUT_COUNT)):
            folder = deployment.training / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                tint = 128 + 0.12 * (np.array(colour) - 128) + generator.normal(0, 8, 3)
                pixels = np.clip(tint + generator.normal(0, 25, (SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    result = deployment.train()
    assert result.success, refusals(result)
    return deployment


@pytest.fixture
def deployment(champion: Deployment, tmp_path: Path) -> Deployment:
    """A copy to plant faults in."""
    root = Path(champion.settings.lake).parent
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    return Deployment(tmp_path)


def refusals(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {
        check.check_name: check.description or "" for check in result.get_asset_check_evaluations() if not check.passed
    }


def shuffle_labels(training: Path) -> None:
    """Moves a third of every class into the next class, and another third into the one after."""
    for split in ("train", "test"):
        files = {label: sorted((training / split / label).iterdir()) for label in COLOURS}
        for place, label in enumerate(COLOURS):
            for number, file in enumerate(files[label]):
                target = list(COLOURS)[(place + number) % 3]
                file.rename(training / split / target / f"{label} {file.name}")


def shuffle_train_labels(training: Path) -> None:
    shutil.copytree(training / "test", training / "kept")
    shuffle_labels(training)
    shutil.rmtree(training / "test")
    (training / "kept").rename(training / "test")


def remove_a_class(training: Path) -> None:
    for split in ("train", "test"):
        shutil.rmtree(training / split / "blue")


def swap_channels(files: list[Path]) -> None:
    for file in files:
        Image.fromarray(np.asarray(Image.open(io.BytesIO(file.read_bytes())))[..., ::-1]).save(file)


def halve_a_class(training: Path) -> None:
    for file in sorted((training / "train" / "green").iterdir())[::2]:
        file.unlink()


def add_a_near_copy(training: Path) -> None:
    """Adds a near-copy of an image, which gives an equal model under another version."""
    file = next((training / "train" / "red").iterdir())
    pixels = np.asarray(Image.open(file)).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(training / "train" / "red" / "again.png")


def test_a_damaged_classifier_is_replaced_by_the_next_training_of_other_images(deployment: Deployment) -> None:
    former = deployment.promoted()
    shutil.rmtree(Path(deployment.settings.lake, "models", "classifier", former, "stages"))
    add_a_near_copy(deployment.training)
    result = deployment.train()
    assert result.success, refusals(result)
    assert deployment.promoted() != former


def test_a_deleted_classifier_is_stored_again_by_the_next_training_of_the_same_images(deployment: Deployment) -> None:
    former = deployment.promoted()
    shutil.rmtree(Path(deployment.settings.lake, "models", "classifier", former))
    result = deployment.train()
    assert result.success, refusals(result)
    assert deployment.promoted() == former
    assert Path(deployment.settings.lake, "models", "classifier", former, "stages").is_dir()


def test_a_training_of_known_inputs_takes_the_candidate_from_the_store(deployment: Deployment) -> None:
    version = deployment.promoted()
    evaluation = Path(deployment.settings.lake, "models", "classifier", version, "evaluation.json")
    evaluation.write_text(json.dumps(json.loads(evaluation.read_text()) | {"train_count": 4321}))
    result = deployment.train()
    assert result.success, refusals(result)
    (made,) = result.asset_materializations_for_node("classifier_candidate")
    assert made.metadata["train_count"].value == 4321, "the page is that of the stored evaluation"
    assert deployment.promoted() == version


FAULTS: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "shuffled labels": (shuffle_labels, {"candidate_reaches_the_accuracy_floor"}),
    "shuffled train labels": (shuffle_train_labels, {"candidate_reaches_the_accuracy_floor"}),
    "a class removed": (remove_a_class, {"candidate_keeps_every_class"}),
    "channels swapped in the train split": (
        lambda training: swap_channels(sorted(training.glob("train/*/*"))),
        {"candidate_reaches_the_accuracy_floor", "candidate_is_better_than_the_classifier"},
    ),
    "channels swapped everywhere": (
        lambda training: swap_channels(sorted(training.glob("*/*/*"))),
        {"candidate_is_judged_on_the_same_holdout"},
    ),
    "half of one class": (halve_a_class, {"candidate_is_better_than_the_classifier"}),
    "an equal model": (add_a_near_copy, {"candidate_is_better_than_the_classifier"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_candidate_is_never_promoted_and_the_failed_checks_give_the_reason(
    fault: str, deployment: Deployment
) -> None:
    before = deployment.promoted()
    plant, rules = FAULTS[fault]
    plant(deployment.training)
    result = deployment.train()
    assert not result.success
    assert rules <= refusals(result).keys(), refusals(result)
    assert deployment.promoted() == before


def test_a_better_candidate_is_promoted(deployment: Deployment) -> None:
    """The labels of half a class are corrected between two trainings."""
    shutil.rmtree(deployment.settings.lake)
    mislabelled = sorted((deployment.training / "train" / "green").iterdir())[::2]
    for file in mislabelled:
        file.rename(deployment.training / "train" / "red" / f"green {file.name}")
    first = Deployment(deployment.training.parent, recall_floor=0.2).train()
    assert first.success, refusals(first)
    before = deployment.promoted()
    for file in mislabelled:
        (deployment.training / "train" / "red" / f"green {file.name}").rename(file)
    second = deployment.train()
    assert second.success, refusals(second)
    assert deployment.promoted() != before


def test_a_deliberately_replaced_holdout_is_accepted(deployment: Deployment) -> None:
    swap_channels(sorted(deployment.training.glob("*/*/*")))
    assert "candidate_is_judged_on_the_same_holdout" not in refusals(deployment.train(gate={"new_holdout": True}))
