"""Batch size: measured once and stored beside the graph; a graph works without it."""

import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import SIZE, make_tiny_graph

from pipeline.embed.backbone import Backbone, load_backbone, open_backbone
from pipeline.embed.batch_size import (
    DEFAULT,
    FIRST_PASSES,
    MAX_CPU_SECONDS,
    MAX_PASSES,
    MIN_IMAGES,
    SIZES,
    choose_batch_size,
    measure_batch_costs,
    read_batch_costs,
    sidecar,
)
from pipeline.networks.export import describe_backbone
from pipeline.networks.known_photos import decode_known_photos
from pipeline.networks.parity import measure_parity
from resources.lake.lake import Lake
from resources.models.catalogue import BackboneCatalogue


@pytest.fixture
def catalogue(tmp_path: Path) -> BackboneCatalogue:
    onnx.save(make_tiny_graph(), tmp_path / "tiny.onnx")
    return BackboneCatalogue(name=str(tmp_path / "tiny.onnx"), pixel_scaling="unit", lake=Lake(root=str(tmp_path)))


def test_every_batch_size_is_measured_on_real_images_and_one_is_chosen(tiny_backbone: Backbone) -> None:
    costs = measure_batch_costs(load_backbone(tiny_backbone.path), decode_known_photos(SIZE)[:3])
    assert tuple(costs.cpu_milliseconds) == SIZES
    assert all(0 < each < 100 for each in costs.cpu_milliseconds.values())
    assert costs.batch_size == choose_batch_size(costs.cpu_milliseconds)


def test_a_slow_graph_is_measured_in_one_pass() -> None:
    batches = []

    def embed(pixels: np.ndarray) -> np.ndarray:
        batches.append(len(pixels))
        until = time.thread_time() + len(pixels) * MAX_CPU_SECONDS / 30
        while time.thread_time() < until:
            pass
        return pixels[:, 0, 0]

    measure_batch_costs(embed, decode_known_photos(SIZE))
    assert batches == [1, *[1] * 4, *[2] * 2, 4, 8, 16]


def test_sizes_that_are_clearly_slower_are_measured_in_fewer_passes() -> None:
    batches: Counter[int] = Counter()

    def embed(pixels: np.ndarray) -> np.ndarray:
        batches[len(pixels)] += 1
        until = time.thread_time() + len(pixels) * (0.002 if len(pixels) > 2 else 0.001)
        while time.thread_time() < until:
            pass
        return pixels[:, 0, 0]

    measure_batch_costs(embed, decode_known_photos(SIZE))
    assert batches[16] == batches[8] == batches[4] == FIRST_PASSES
    assert batches[2] == MAX_PASSES * MIN_IMAGES // 2


@pytest.mark.parametrize(
    ("milliseconds", "chosen"),
    [
        ({1: 4.9, 2: 4.7, 4: 4.88, 8: 5.4, 16: 6.2}, 2),
        ({1: 5.0, 2: 4.95, 4: 4.92, 8: 4.91, 16: 4.91}, 1),
        ({1: 9.0, 2: 8.0, 4: 7.0, 8: 6.0, 16: 5.0}, 16),
    ],
)
def test_the_smallest_batch_within_two_percent_of_the_fastest_is_chosen(
    milliseconds: dict[int, float], chosen: int
) -> None:
    assert choose_batch_size(milliseconds) == chosen


def test_the_batch_size_is_measured_once_and_does_not_change_the_digest(catalogue: BackboneCatalogue) -> None:
    made = catalogue.export()
    costs = read_batch_costs(Path(made.path))
    assert costs is not None
    assert made.batch_size == costs.batch_size in SIZES
    written = sidecar(Path(made.path)).stat().st_mtime_ns
    assert catalogue.export() == made == open_backbone(Path(made.path))
    assert sidecar(Path(made.path)).stat().st_mtime_ns == written
    assert not list(Path(made.path).parent.glob(f"{made.digest}.*[!nx]")), "no draft stays behind"


def test_a_graph_copied_without_its_sidecar_is_measured_again(catalogue: BackboneCatalogue, tmp_path: Path) -> None:
    made = catalogue.export()
    shutil.copy(made.path, tmp_path)
    assert open_backbone(tmp_path / Path(made.path).name).batch_size == DEFAULT
    sidecar(Path(made.path)).unlink()
    assert catalogue.export().digest == made.digest
    assert read_batch_costs(Path(made.path)) is not None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"batch_size": 4, "cpu_milliseconds": 3}', '{"batch_size": 4, '])
def test_a_damaged_sidecar_counts_as_missing_and_is_measured_again(catalogue: BackboneCatalogue, text: str) -> None:
    made = catalogue.export()
    sidecar(Path(made.path)).write_text(text)
    assert open_backbone(Path(made.path)).batch_size == DEFAULT
    catalogue.export()
    assert read_batch_costs(Path(made.path)) is not None


def test_the_page_shows_the_cost_of_each_batch_size(catalogue: BackboneCatalogue) -> None:
    made = catalogue.export()
    report = describe_backbone(made, measure_parity(catalogue.open().embed, made, decode_known_photos(SIZE)))
    assert report.numbers["batch_size"] == made.batch_size
    assert len(report.tables["batches"].splitlines()) == 2 + len(SIZES)
    assert len(report.tables["batches"]) < 1000, "longer Markdown hides behind a link"
