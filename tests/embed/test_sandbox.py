"""The sandbox: whatever one image does to the process that decodes it, the others get their features."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import SIZE, MakePhoto
from poisons import POISONS, load_or_die, poison, wait_forever

from pipeline.embed import attempt, embedding, sandbox
from pipeline.embed.backbone import Backbone, Embed, load_backbone
from pipeline.embed.embedding import Embedding, embed_images
from pipeline.embed.letterbox import letterbox
from pipeline.embed.limits import DEFAULT_LIMITS
from pipeline.embed.pixels import Decoding, decode_pixels
from pipeline.embed.reasons import CRASHED, CRASHED_BACKBONE, NOT_AN_IMAGE, TIMED_OUT
from pipeline.embed.sandbox import MAX_STARTS, Sandbox, SandboxError, open_sandbox
from pipeline.storage.cpu_timer import CpuTimer

LIMITS = replace(DEFAULT_LIMITS, seconds=2.0, memory_bytes=2**28)
BATCH_SIZE = 4
PIPE_BYTES = 2**18  # more than a pipe holds that nobody reads


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches the decoder with faults, which forked children inherit."""
    monkeypatch.setattr(attempt, "load", load_or_die)


@pytest.fixture
def box(tiny_backbone: Backbone) -> Iterator[Sandbox]:
    opened = Sandbox(Embedding(tiny_backbone.path, SIZE, BATCH_SIZE, LIMITS))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def photos(make_photo: MakePhoto) -> list[bytes]:
    return [make_photo(seed=seed) for seed in range(10)]


def embed(box: Sandbox, contents: list[bytes]) -> list[dict]:
    return box.run(pa.array(contents, pa.binary()), CpuTimer()).to_pylist()


def test_features_equal_those_embedded_without_a_sandbox(
    box: Sandbox, photos: list[bytes], tiny_backbone: Backbone
) -> None:
    contents = [*photos, b"", b"not an image"]
    expected = embed_images(contents, load_backbone(tiny_backbone.path), SIZE, BATCH_SIZE)
    assert box.run(pa.array(contents, pa.binary()), CpuTimer()).equals(expected)


@pytest.mark.parametrize("name", POISONS)
def test_an_image_that_kills_its_process_gets_a_reason_and_the_others_get_features(
    name: str, box: Sandbox, photos: list[bytes], poisoned: None
) -> None:
    expected = embed(box, photos)
    rows = embed(box, [*photos[:6], poison(name), *photos[6:]])
    empty = dict.fromkeys(("features", "width", "height", "format", "quality_flags", "miniature"))
    assert rows.pop(6) == empty | {"error": POISONS[name][1]}
    assert rows == expected
    assert embed(box, photos) == expected, "the next images are embedded as before"


def test_pixels_of_harmless_images_are_decoded_and_a_poison_has_none(photos: list[bytes], poisoned: None) -> None:
    mixed = [photos[0], poison("an abort"), photos[1], b"", poison("the system's killer")]
    decoding = Decoding(SIZE, LIMITS)
    pixels = decode_pixels(mixed, decoding)
    open_sandbox(decoding).close()
    assert [each is None for each in pixels] == [False, True, False, True, True]
    expected = letterbox(attempt.load(photos[1], SIZE).pixels, SIZE)
    assert np.array_equal(pixels[2], expected)


def test_many_poisons_in_a_row_cost_only_themselves(box: Sandbox, photos: list[bytes], poisoned: None) -> None:
    expected = embed(box, photos)
    bad = poison("a segmentation fault")
    rows = embed(box, [bad, bad, *photos[:5], *[bad] * 20, *photos[5:], bad])
    assert [row["error"] for row in rows].count(CRASHED) == 23
    assert [row for row in rows if row["features"]] == expected


@pytest.mark.parametrize(("end", "reason"), [(os.abort, CRASHED_BACKBONE), (wait_forever, TIMED_OUT)])
def test_only_the_image_of_a_batch_that_kills_the_graph_is_rejected(
    end: Callable[[], object], reason: str, box: Sandbox, photos: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = embed(box, photos)
    box.close()
    bad = letterbox(attempt.load(photos[5], SIZE).pixels, SIZE)

    def load_poisoned(path: str) -> Embed:
        load = load_backbone(path)

        def embed_or_die(pixels: np.ndarray) -> np.ndarray:
            if any(np.array_equal(each, bad) for each in pixels):
                end()
            return load(pixels)

        return embed_or_die

    monkeypatch.setattr(embedding, "load_backbone", load_poisoned)
    rows = embed(box, photos)
    assert [row["error"] for row in rows] == [None] * 5 + [reason] + [None] * 4
    for row, wanted in zip(rows, expected, strict=True):
        if row["features"]:
            np.testing.assert_allclose(row["features"], wanted["features"], rtol=1e-6)


def test_a_child_that_dies_before_its_first_image_is_an_error_after_a_few_attempts(
    box: Sandbox, photos: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "load_backbone", lambda path: os._exit(7))
    with pytest.raises(SandboxError, match=f"{MAX_STARTS} children died before their first image: exit code 7"):
        embed(box, photos)


def test_a_child_that_stops_reading_is_replaced_and_costs_no_row(
    photos: list[bytes], tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "START_SECONDS", 1.0)
    box, many = Sandbox(Embedding(tiny_backbone.path, SIZE, BATCH_SIZE, LIMITS)), photos * 100
    expected = embed(box, many)
    stopped = box._child._pid
    os.kill(stopped, signal.SIGSTOP)
    assert sum(map(len, many)) > PIPE_BYTES
    assert embed(box, many) == expected
    assert not is_alive(stopped)
    box.close()


def test_children_that_read_no_request_are_an_error(
    box: Sandbox, photos: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "START_SECONDS", 1.0)
    monkeypatch.setattr(sandbox, "run_child", lambda *_: os.kill(os.getpid(), signal.SIGSTOP))
    with pytest.raises(SandboxError, match="3 children died before their first image: timed out"):
        embed(box, photos * 100)


def test_a_bug_is_an_error_and_not_a_reason(box: Sandbox, photos: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "find_flags", lambda image, width, height: image.nothing)
    with pytest.raises(SandboxError, match=r"AttributeError: .* has no attribute 'nothing'"):
        embed(box, photos)


def test_a_missing_graph_is_an_error_that_names_it(photos: list[bytes], tmp_path: Path) -> None:
    box = Sandbox(Embedding(str(tmp_path / "gone.onnx"), SIZE, BATCH_SIZE, LIMITS))
    with pytest.raises(SandboxError, match=r"gone\.onnx"):
        embed(box, photos)


def test_a_child_answers_batch_after_batch_and_opens_the_graph_once(
    tiny_backbone: Backbone, photos: list[bytes], tmp_path: Path
) -> None:
    graph = Path(shutil.copy(tiny_backbone.path, tmp_path))
    box = Sandbox(Embedding(str(graph), SIZE, BATCH_SIZE, LIMITS))
    expected = embed(box, photos)
    graph.unlink()
    cpu_timer = CpuTimer()
    assert box.run(pa.array(photos, pa.binary()), cpu_timer).to_pylist() == expected
    assert {"start", "decode", "resize", "infer"} <= cpu_timer.seconds.keys()
    box.close()


def test_a_process_has_one_sandbox(tiny_backbone: Backbone) -> None:
    work = Embedding(tiny_backbone.path, SIZE, BATCH_SIZE, LIMITS)
    opened = open_sandbox(work)
    assert open_sandbox(work) is opened
    other = open_sandbox(replace(work, batch_size=1))
    assert other is not opened
    other.close()


def test_a_child_has_no_file_of_the_worker_and_dies_with_it(tiny_backbone: Backbone, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("")
    code = f"""
import os, time
import pyarrow as pa
from pipeline.embed.limits import DEFAULT_LIMITS
from pipeline.embed.embedding import Embedding
from pipeline.embed.sandbox import Sandbox
from pipeline.storage.cpu_timer import CpuTimer
opened = open({str(secret)!r})
box = Sandbox(Embedding({tiny_backbone.path!r}, {SIZE}, 1, DEFAULT_LIMITS))
box.run(pa.array([b""]), CpuTimer())
print(box._child._pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as worker:
        child = int(worker.stdout.readline())
        opened = {os.readlink(link) for link in Path(f"/proc/{child}/fd").iterdir()}
        worker.kill()
    assert str(secret) not in opened
    deadline = time.monotonic() + 5
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(child)


def test_time_in_which_worker_and_child_both_stood_still_does_not_count(tiny_backbone: Backbone) -> None:
    code = f"""
import time
from dataclasses import replace
import pyarrow as pa
from pipeline.embed import attempt
from pipeline.embed.embedding import Embedding
from pipeline.embed.limits import DEFAULT_LIMITS
from pipeline.embed.sandbox import Sandbox
from pipeline.storage.cpu_timer import CpuTimer
def load_slowly(*arguments):
    time.sleep(0.5)
    return load(*arguments)
load, attempt.load = attempt.load, load_slowly
box = Sandbox(Embedding({tiny_backbone.path!r}, {SIZE}, 1, replace(DEFAULT_LIMITS, seconds=2)))
box.run(pa.array([b""]), CpuTimer())
print(box._child._pid, flush=True)
rows = box.run(pa.array([b"not an image"] * 3), CpuTimer()).to_pylist()
print(*[row["error"] for row in rows], sep=";", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as worker:
        child = int(worker.stdout.readline())
        time.sleep(0.3)
        for pid in (worker.pid, child):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(4)
        for pid in (worker.pid, child):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.3)  # the worker looks first
        reasons = worker.stdout.readline().strip()
    assert reasons == ";".join([NOT_AN_IMAGE] * 3)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
