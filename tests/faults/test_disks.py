"""Disks: a full file system leaves the lake as it was, and with free space the next run completes the day."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import DAY, NEXT_DAY, Deployment

FREE_BYTES = {"at once": 0, "at the log": 16_000, "at the data": 200_000}
"""Free space in bytes when the run starts."""


@pytest.fixture(scope="module")
def small_disk(trained: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A lake on its own file system of 8 MiB, with one predicted day."""
    deployment = trained.copy(tmp_path_factory.mktemp("small"))
    saved = deployment.root / "saved"
    shutil.move(deployment.lake, saved)
    deployment.lake.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(deployment.lake)], check=True)
    try:
        shutil.copytree(saved, deployment.lake, dirs_exist_ok=True)
        run = deployment.run("daily", DAY)
        assert run.is_good, run.text
        yield deployment
    finally:
        subprocess.run(["umount", str(deployment.lake)], check=True)


def fill(folder: Path, free_bytes: int) -> Path:
    """Fills the file system except for this many bytes."""
    filler = folder / "filler"
    filler.write_bytes(bytes(max(0, shutil.disk_usage(folder).free - free_bytes)))
    return filler


@pytest.mark.parametrize("moment", FREE_BYTES)
def test_a_full_disk_leaves_the_lake_as_it_was(moment: str, small_disk: Deployment, expected: dict) -> None:
    filler = fill(small_disk.lake, FREE_BYTES[moment])
    try:
        run = small_disk.run("daily", NEXT_DAY)
    finally:
        filler.unlink()
    assert run.process.returncode == 1, run.text
    assert "No space left on device" in run.text
    assert small_disk.all_rows(DAY) == expected[DAY]
    for table, rows in small_disk.all_rows(NEXT_DAY).items():
        assert rows is None or rows == expected[NEXT_DAY][table]


def test_with_free_space_the_next_run_completes_the_day(small_disk: Deployment, expected: dict) -> None:
    run = small_disk.run("daily", NEXT_DAY)
    assert run.is_good, run.text
    assert small_disk.all_rows(NEXT_DAY) == expected[NEXT_DAY]
