"""Variants: the most accurate reading and fit of a network on the labelled images are used, and measured once."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import hub_exports as hub
import numpy as np
import onnx
import pytest
from PIL import Image
from pyspark.sql import SparkSession

from assets.definitions import build_definitions
from pipeline.embed.backbone import open_backbone
from pipeline.networks.variant import Variant
from pipeline.training.variants import choose_variant
from resources.settings import Settings, read_settings

CLS, MEAN = Variant("tokens:cls", "letterbox"), Variant("tokens:mean", "letterbox")
CROPPED = MEAN._replace(fit="crop")


def test_the_most_accurate_reading_gets_the_most_accurate_fit() -> None:
    accuracies = {CLS: 0.7, MEAN: 0.8, CROPPED: 0.9, CLS._replace(fit="crop"): 1.0}
    asked: list[Variant] = []

    def measure(variant: Variant) -> float:
        asked.append(variant)
        return accuracies[variant]

    choice = choose_variant(["tokens:cls", "tokens:mean"], ["letterbox", "crop"], measure)
    assert (choice.variant, asked) == (CROPPED, [CLS, MEAN, CROPPED])
    assert choice.reason == (
        "tokens:mean crop: accuracy 0.900; tokens:cls letterbox 0.700, tokens:mean letterbox 0.800"
    )


def test_of_equally_accurate_variants_the_likeliest_is_used() -> None:
    choice = choose_variant(["tokens:cls", "tokens:mean"], ["letterbox", "crop"], lambda _: 0.5)
    assert choice.variant == CLS


def test_nothing_is_measured_where_there_is_no_choice() -> None:
    choice = choose_variant([""], ["crop"], lambda _: pytest.fail("measured"))
    assert (choice.variant, choice.reason) == (Variant("", "crop"), "crop: the only one")


def write_images(folder: Path) -> None:
    """Wide images with noise at both ends, whose colour in the middle is the label."""
    random = np.random.default_rng(0)
    for label, colour in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
        (folder / label).mkdir(parents=True)
        for number in range(24):
            pixels = random.integers(0, 256, (40, 160, 3), np.uint8)
            pixels[:, 60:100] = np.clip(random.normal(colour, 12, (40, 40, 3)), 0, 255)
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG")
            (folder / label / f"{number}.png").write_bytes(file.getvalue())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_images(tmp_path / "labelled")
    onnx.save(hub.transformer(1), tmp_path / "tokens.onnx")
    return read_settings().replace(
        training=str(tmp_path / "labelled"),
        lake=str(tmp_path / "lake"),
        backbone=str(tmp_path / "tokens.onnx"),
        pixel_scaling="symmetric",
        precision="fp32",
    )


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


@pytest.mark.slow
def test_a_network_of_tokens_is_measured_once_and_its_graph_holds_the_choice(
    settings: Settings, instance: dg.DagsterInstance, spark: SparkSession
) -> None:
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()

    def make(*assets: str) -> tuple[str, str]:
        selection = [dg.AssetKey(asset) for asset in assets]
        result = job.execute_in_process(instance=instance, asset_selection=selection)
        (measured,) = result.asset_materializations_for_node("precision_measurement")
        (made,) = result.asset_materializations_for_node("backbone")
        return str(measured.metadata["variant"].value), str(made.metadata["digest"].value)

    reason, digest = make("training_images", "precision_measurement", "backbone")
    folder = Path(settings.lake, "models", "backbone")
    (record,) = (folder / "variants").iterdir()
    stored = json.loads(record.read_text())
    accuracies = {tuple(variant): accuracy for variant, accuracy in stored["accuracies"]}
    assert accuracies.keys() >= {("last_hidden_state:cls", "letterbox"), ("last_hidden_state:mean", "letterbox")}
    assert len(accuracies) == 3
    assert accuracies[tuple(stored["variant"])] == max(accuracies.values())
    backbone = open_backbone(folder / f"{digest}.onnx")
    assert reason.startswith(f"{stored['variant'][0]} {backbone.fit}: accuracy ")
    before = record.stat().st_mtime_ns
    assert make("precision_measurement", "backbone") == (reason, digest)
    assert record.stat().st_mtime_ns == before
