"""A first training on too few images fails with a sentence that says what to add, and promotes nothing."""

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import MakePhoto, make_tiny_graph
from deployment import Deployment
from PIL import Image
from pyspark.sql import SparkSession
from sidecars import APPLE_DOUBLE

pytestmark = pytest.mark.slow

LABELS = 40


@pytest.fixture
def deployment(spark: SparkSession, tmp_path: Path) -> Deployment:
    onnx.save(make_tiny_graph(), tmp_path / "tiny.onnx")
    return Deployment(tmp_path)


def train(deployment: Deployment, files: dict[str, bytes]) -> str:
    """Trains on these files; returns the failures."""
    for path, content in files.items():
        file = deployment.root / "landing" / "training" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    failures = deployment.failures("training")
    assert failures is not None
    assert not (deployment.lake / "models" / "classifier.json").exists()
    return failures


def test_two_images_have_no_holdout(deployment: Deployment, make_photo: MakePhoto) -> None:
    photos = [make_photo("red", seed) for seed in range(2)]
    failures = train(deployment, {"train/cat/1.jpg": photos[0], "train/dog/2.jpg": photos[1]})
    assert "none of the usable images is in it: add images, ten of each label or more" in failures
    assert "put some into validation" in failures


def test_one_label_is_not_enough(deployment: Deployment, make_photo: MakePhoto) -> None:
    files = {f"cat/{seed}.jpg": make_photo("red", seed) for seed in range(8)}
    failures = train(deployment, files | {"dog/1.jpg": make_photo("blue", 1)[:300]})
    assert (
        "at least two labels, but all usable images (1 truncated cannot be used) have the label 'cat': add images of"
        " another one" in failures
    )


def test_files_that_are_all_rejected_are_counted_by_reason(deployment: Deployment, make_photo: MakePhoto) -> None:
    photo = make_photo("red", 1)
    files = {f"{label}/{size}.jpg": photo[:size] for label in ("cat", "dog") for size in (300, 400)}
    failures = train(deployment, files | {"cat/empty.jpg": b""})
    assert "none of the labelled images can be used, 2 truncated, 1 empty: replace files" in failures


def test_sidecar_files_alone_are_no_labelled_images(deployment: Deployment) -> None:
    failures = train(deployment, {"cat/._1.jpg": APPLE_DOUBLE, "dog/._2.jpg": APPLE_DOUBLE})
    assert "there is no labelled image: put images into folders named after their labels" in failures


def test_many_labels_of_two_images_each_say_how_many_to_add(deployment: Deployment) -> None:
    files = {}
    for label in range(LABELS):
        for number in range(2):
            pixels = np.random.default_rng(2 * label + number).integers(0, 255, (40, 48, 3), np.uint8)
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "JPEG")
            files[f"c{label:02}/{number}.jpg"] = file.getvalue()
    failures = train(deployment, files)
    assert f"it learned {LABELS}" in failures or "since all usable images of them are in the holdout" in failures
    assert "retired_labels" not in failures
    assert "add images" in failures
