"""Disks: a full file system leaves the lake as it was, whatever it was full at, and room makes the day whole."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import DAY, NEXT_DAY, Deployment

LEFT = {"at once": 0, "at the log": 16_000, "at the data": 200_000}
"""Bytes that are free when the run begins."""


@pytest.fixture(scope="module")
def small_disk(trained: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A lake on a file system of its own, of 8 MiB; with a day that was answered."""
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


def fill(folder: Path, leave_bytes: int) -> Path:
    """Takes all room but this."""
    filler = folder / "filler"
    filler.write_bytes(bytes(max(0, shutil.disk_usage(folder).free - leave_bytes)))
    return filler


@pytest.mark.parametrize("moment", LEFT)
def test_a_full_disk(moment: str, small_disk: Deployment, expected: dict) -> None:
    filler = fill(small_disk.lake, LEFT[moment])
    try:
        run = small_disk.run("daily", NEXT_DAY)
    finally:
        filler.unlink()
    assert run.process.returncode == 1, run.text
    assert "No space left on device" in run.text
    assert small_disk.all_rows(DAY) == expected[DAY]
    for table, rows in small_disk.all_rows(NEXT_DAY).items():
        assert rows is None or rows == expected[NEXT_DAY][table]


def test_room_makes_the_day_whole(small_disk: Deployment, expected: dict) -> None:
    run = small_disk.run("daily", NEXT_DAY)
    assert run.is_good, run.text
    assert small_disk.all_rows(NEXT_DAY) == expected[NEXT_DAY]
