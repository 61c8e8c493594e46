"""Disks: a full or read-only one changes nothing stored, and once it is sound the next run completes the day."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import PAGESIZE
from pathlib import Path

import pytest
from conftest import COLOURS, MakePhoto
from deployment import DAY, NEXT_DAY, Deployment

from pipeline.embed.reasons import EMPTY, TRUNCATED

NEW_DAY = "2026-11-22"
FREE_BYTES = {"at once": 0, "at the log": 16_000, "at the data": 200_000}
"""Free space in bytes when the run starts."""


@contextmanager
def mount_lake(trained: Deployment, root: Path) -> Iterator[Deployment]:
    """A lake on its own file system of 8 MiB, with one predicted day."""
    deployment = trained.copy(root)
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


@pytest.fixture(scope="module")
def small_disk(trained: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with mount_lake(trained, tmp_path_factory.mktemp("small")) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def fragile_disk(trained: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with mount_lake(trained, tmp_path_factory.mktemp("fragile")) as deployment:
        yield deployment


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
    (line,) = run.last_lines
    assert f"LakeError: {small_disk.lake}/" in line
    assert "cannot be written: No space left on device" in line
    assert "free space" in line
    assert small_disk.all_rows(DAY) == expected[DAY]
    for table, rows in small_disk.all_rows(NEXT_DAY).items():
        assert rows is None or rows == expected[NEXT_DAY][table]


def test_with_free_space_the_next_run_completes_the_day(small_disk: Deployment, expected: dict) -> None:
    run = small_disk.run("daily", NEXT_DAY)
    assert run.is_good, run.text
    assert small_disk.all_rows(NEXT_DAY) == expected[NEXT_DAY]


READ_ONLY = {
    "from the start": None,
    "before images are embedded": ("resources.lake.appended_table:open_or_create", 1),
    "before a portion is committed": ("resources.lake.portions:append_rows", 1),
    "before predictions are written": ("resources.lake.lake:open_or_create", 3),
    "before predictions are committed": ("resources.lake.lake:replace_rows", 3),
}
"""The call before which the lake turns read-only."""


def remount(folder: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], check=True)


@pytest.mark.parametrize("moment", READ_ONLY)
def test_a_lake_that_turns_read_only_fails_the_run_with_the_cause_and_stays_as_it_was(
    moment: str, fragile_disk: Deployment, expected: dict
) -> None:
    if stop := READ_ONLY[moment]:
        options = ("--kill", stop[0], "--call", str(stop[1]), "--signal", "SIGSTOP")
        run = fragile_disk.start("daily", NEXT_DAY, *options)
        run.wait_for_stop()
    remount(fragile_disk.lake, "ro")
    try:
        if stop:
            run.process.send_signal(signal.SIGCONT)
            run.wait()
        else:
            run = fragile_disk.run("daily", NEXT_DAY)
    finally:
        remount(fragile_disk.lake, "rw")
    assert run.process.returncode == 1, run.text
    (line,) = run.last_lines
    assert f"LakeError: {fragile_disk.lake}/" in line
    assert "cannot be written: Read-only file system" in line
    assert "mount it writable" in line
    assert fragile_disk.all_rows(DAY) == expected[DAY]
    for table, rows in fragile_disk.all_rows(NEXT_DAY).items():
        assert rows is None or rows == expected[NEXT_DAY][table]
    assert fragile_disk.rows("predictions", NEXT_DAY) is None


def test_once_the_lake_is_writable_the_next_run_completes_the_day(fragile_disk: Deployment, expected: dict) -> None:
    run = fragile_disk.run("daily", NEXT_DAY)
    assert run.is_good, run.text
    assert fragile_disk.all_rows(NEXT_DAY) == expected[NEXT_DAY]


def upload(photos: dict[str, bytes], folder: Path) -> dict[str, str]:
    """Writes files as far as there is space; returns the reasons that the others must have."""
    cut = {}
    for name, content in photos.items():
        try:
            (folder / name).write_bytes(content)
        except OSError:
            cut[name] = TRUNCATED if (folder / name).stat().st_size else EMPTY
    return cut


def test_a_full_landing_zone_costs_only_the_files_that_were_cut(deployment: Deployment, make_photo: MakePhoto) -> None:
    photos = {f"{seed:02}.jpg": make_photo(list(COLOURS)[seed % 3], seed, (200, 200)) for seed in range(60)}
    *whole, last, _ = (-(-len(content) // PAGESIZE) * PAGESIZE for content in photos.values())
    folder = deployment.folder(NEW_DAY)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={sum(whole) + last // 2}", "tmpfs", str(folder)], check=True)
    try:
        cut = upload(photos, folder)
        assert cut == {"58.jpg": TRUNCATED, "59.jpg": EMPTY}
        run = deployment.run("daily", NEW_DAY)
        assert run.is_good, run.text
        errors = {row["path"]: row["error"] for row in deployment.rows("predictions", NEW_DAY)}
        assert errors == dict.fromkeys(photos) | cut
        remount(folder, "size=16m")
        assert not upload(photos, folder)
        again = deployment.run("daily", NEW_DAY)
        assert again.is_good, again.text
        rows = deployment.rows("predictions", NEW_DAY)
        assert {row["path"]: row["error"] for row in rows} == dict.fromkeys(photos)
        assert len(rows) == len(photos)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
