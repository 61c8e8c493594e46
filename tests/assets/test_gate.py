"""The gate on real trainings: bad candidates are planted, and none of them ever answers a day.

Each is a whole training; single rules are in `test_promotion.py`, two refusals by Dagster in `test_end_to_end.py`.
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
"""Of every colour."""


class Shop:
    """Labelled pictures that are hard to tell apart, and a lake in which classifiers are trained on them."""

    def __init__(self, root: Path, recall_floor: float = 0.5) -> None:
        self.training = root / "training"
        self.settings: Settings = read_settings().replace(
            landing=str(root / "landing"),
            training=str(self.training),
            lake=str(root / "lake"),
            backbone=str(root / "tiny.onnx"),
            pixel_scaling="unit",
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
def champion(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Shop:
    """A classifier in use that is right in nine of ten."""
    root = tmp_path_factory.mktemp("gate")
    onnx.save(make_tiny_graph(), root / "tiny.onnx")
    shop = Shop(root)
    generator = np.random.default_rng(1)
    for label, colour in COLOURS.items():
        for side, count in (("train", TRAIN_COUNT), ("test", HOLDOUT_COUNT)):
            folder = shop.training / side / label
            folder.mkdir(parents=True)
            for number in range(count):
                tint = 128 + 0.12 * (np.array(colour) - 128) + generator.normal(0, 8, 3)
                pixels = np.clip(tint + generator.normal(0, 25, (SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    result = shop.train()
    assert result.success, refusals(result)
    return shop


@pytest.fixture
def shop(champion: Shop, tmp_path: Path) -> Shop:
    """A copy, to plant in."""
    root = Path(champion.settings.lake).parent
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    return Shop(tmp_path)


def refusals(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {
        check.check_name: check.description or "" for check in result.get_asset_check_evaluations() if not check.passed
    }


def shuffle_labels(training: Path) -> None:
    """Every third picture of a class comes into the next one, and another third into the one after."""
    for side in ("train", "test"):
        files = {label: sorted((training / side / label).iterdir()) for label in COLOURS}
        for place, label in enumerate(COLOURS):
            for number, file in enumerate(files[label]):
                target = list(COLOURS)[(place + number) % 3]
                file.rename(training / side / target / f"{label} {file.name}")


def shuffle_train_labels(training: Path) -> None:
    shutil.copytree(training / "test", training / "kept")
    shuffle_labels(training)
    shutil.rmtree(training / "test")
    (training / "kept").rename(training / "test")


def remove_a_class(training: Path) -> None:
    for side in ("train", "test"):
        shutil.rmtree(training / side / "blue")


def swap_channels(files: list[Path]) -> None:
    for file in files:
        Image.fromarray(np.asarray(Image.open(io.BytesIO(file.read_bytes())))[..., ::-1]).save(file)


def halve_a_class(training: Path) -> None:
    for file in sorted((training / "train" / "green").iterdir())[::2]:
        file.unlink()


def add_a_picture_again(training: Path) -> None:
    """The labels and features stay what they were, nearly: an equal model under another version."""
    file = next((training / "train" / "red").iterdir())
    pixels = np.asarray(Image.open(file)).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(training / "train" / "red" / "again.png")


BAD: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "shuffled labels": (shuffle_labels, {"candidate_reaches_the_accuracy_floor"}),
    "shuffled labels of the train side": (shuffle_train_labels, {"candidate_reaches_the_accuracy_floor"}),
    "a class removed": (remove_a_class, {"candidate_keeps_every_class"}),
    "channels swapped on the train side": (
        lambda training: swap_channels(sorted(training.glob("train/*/*"))),
        {"candidate_reaches_the_accuracy_floor", "candidate_is_better_than_the_classifier"},
    ),
    "channels swapped everywhere": (
        lambda training: swap_channels(sorted(training.glob("*/*/*"))),
        {"candidate_is_judged_on_the_same_holdout"},
    ),
    "half of one class": (halve_a_class, {"candidate_is_better_than_the_classifier"}),
    "an equal model": (add_a_picture_again, {"candidate_is_better_than_the_classifier"}),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_candidate_is_never_promoted_and_it_is_said_why(fault: str, shop: Shop) -> None:
    before = shop.promoted()
    plant, rules = BAD[fault]
    plant(shop.training)
    result = shop.train()
    assert not result.success
    assert rules <= refusals(result).keys(), refusals(result)
    assert shop.promoted() == before


def test_a_candidate_that_is_really_better_is_promoted(shop: Shop) -> None:
    """Somebody has mended the labels of half of a class."""
    shutil.rmtree(shop.settings.lake)
    mislabelled = sorted((shop.training / "train" / "green").iterdir())[::2]
    for file in mislabelled:
        file.rename(shop.training / "train" / "red" / f"green {file.name}")
    first = Shop(shop.training.parent, recall_floor=0.2).train()
    assert first.success, refusals(first)
    before = shop.promoted()
    for file in mislabelled:
        (shop.training / "train" / "red" / f"green {file.name}").rename(file)
    second = shop.train()
    assert second.success, refusals(second)
    assert shop.promoted() != before


def test_a_holdout_that_was_replaced_on_purpose_is_let_pass(shop: Shop) -> None:
    swap_channels(sorted(shop.training.glob("*/*/*")))
    assert "candidate_is_judged_on_the_same_holdout" not in refusals(shop.train(gate={"new_holdout": True}))
