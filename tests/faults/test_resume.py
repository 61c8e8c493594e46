"""Resuming: a run that is killed while it embeds repeats at most one portion and what was in flight."""

import time
from pathlib import Path

from conftest import COLOURS, MakePhoto
from deltalake import DeltaTable
from deployment import PATIENCE_SECONDS, Deployment, Run

NEW_DAY = "2026-11-22"
COUNT = 3000
SIZE = (640, 480)
BATCH = 15  # maximum that a worker embeds at once: a row group of such images
CORES = 2
IMAGE_SECONDS = 0.05
COMMIT_SECONDS = 0.5
SLACK_SECONDS = 1.5  # to list, check and commit files on a busy machine
MAX_AGAIN = round(CORES * ((2 * COMMIT_SECONDS + SLACK_SECONDS) / IMAGE_SECONDS + BATCH))


def read_log(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


def list_cached(deployment: Deployment) -> set[str]:
    return set(
        DeltaTable(deployment.lake / "feature_cache").to_pyarrow_table(columns=["image_id"])["image_id"].to_pylist()
    )


def kill_when(run: Run, log: Path, count: int) -> None:
    """Kills the driver and its processes once this number of images was embedded."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(set(read_log(log))) < count:
        assert run.process.poll() is None, run.text
        assert time.monotonic() < deadline
        time.sleep(0.02)
    run.kill_all()


def test_a_run_killed_at_30_60_and_90_percent_of_embedding_repeats_little(
    deployment: Deployment, make_photo: MakePhoto, tmp_path: Path
) -> None:
    for number in range(COUNT):
        photo = make_photo(list(COLOURS)[number % 3], 5000 + number, SIZE)
        (deployment.folder(NEW_DAY) / f"{number:04}.jpg").write_bytes(photo)
    deployment.set_spark(spark_python_daemon_module="slow_daemon")
    log, known = tmp_path / "embedded", list_cached(deployment)
    settings = {"EMBEDDED_LOG": str(log), "IMAGE_SECONDS": str(IMAGE_SECONDS)}
    settings["DAYLIGHT_COMMIT_SECONDS"] = str(COMMIT_SECONDS)
    stored: set[str] = set()
    for share in (0.3, 0.6, 0.9):
        embedded_before = len(read_log(log))
        kill_when(deployment.start("daily", NEW_DAY, **settings), log, round(share * COUNT))
        embedded, cached = read_log(log)[embedded_before:], list_cached(deployment) - known
        assert not stored & set(embedded), "what is stored is not embedded again"
        lost = len(set(embedded) - cached)
        assert lost <= MAX_AGAIN
        stored = cached
    embedded_before = len(read_log(log))
    run = deployment.run("daily", NEW_DAY, **settings)
    assert run.is_good, run.text
    assert set(read_log(log)[embedded_before:]).isdisjoint(stored)
    assert len(list_cached(deployment) - known) == COUNT
    for table in ("images", "image_features", "predictions"):
        rows = deployment.rows(table, NEW_DAY)
        assert len(rows) == len({row["image_id"] for row in rows}) == COUNT
