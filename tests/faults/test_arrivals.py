"""Arrivals: every file is a row, whatever its name and whatever happens to it while the day is read."""

import io
import os
import pickle
import shutil
import signal
import threading
import time

import pytest
from deployment import DAY, TABLES, Deployment, without_day
from PIL import Image

NAMES = [
    "<img src=x onerror=alert(1)>.jpg",
    "| a | table |.jpg",
    "![x](data:text) [y](javascript:alert(1)) www.evil.example.jpg",
    "'; drop table predictions; --.jpg",
    "two\nlines\r\n2026-11-20 ERROR forged.jpg",
    "..%2f..%2fetc%2fpasswd.jpg",
    "...jpg",
    "\u202egpj.exe.jpg",
    "写真 🍎.jpg",
    "{{ 7 * 7 }} ${HOME} $(touch pwned).jpg",
]
PICKLES = ("model.pkl", "weights.npy", "photo.jpg")


class Evil:
    def __init__(self, touched: str) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.touched,)


@pytest.fixture(scope="module")
def hostile(trained: Deployment, tmp_path_factory: pytest.TempPathFactory) -> tuple[Deployment, str]:
    """A day with hostile names, images with metadata, and pickles; and the log of its run."""
    deployment = trained.copy(tmp_path_factory.mktemp("hostile"))
    folder = deployment.folder(DAY)
    photo = next(folder.iterdir()).read_bytes()
    for name in NAMES:
        (folder / name).write_bytes(photo)
    (folder / b"\xff\xfe not text.jpg".decode("utf-8", "surrogateescape")).write_bytes(photo)
    os.symlink(folder, folder / "loop")
    exif = Image.Exif()
    exif[0x010E] = exif[0x9286] = "<b>where somebody lives</b>"
    exif.get_ifd(0x8825)[1], exif.get_ifd(0x8825)[2] = "N", (52.0, 31.0, 12.345)
    image = io.BytesIO()
    Image.open(io.BytesIO(photo)).save(image, "JPEG", exif=exif, comment=b"where somebody lives")
    (folder / "with a place.jpg").write_bytes(image.getvalue())
    for name in PICKLES:
        (folder / name).write_bytes(pickle.dumps(Evil(str(deployment.root / "touched"))))
    run = deployment.run("daily", DAY)
    assert run.is_good, run.text
    return deployment, run.text


def test_hostile_names_stay_names(hostile: tuple[Deployment, str], expected: dict) -> None:
    deployment, log = hostile
    paths = {row["path"] for row in deployment.rows("predictions", DAY)}
    assert paths >= {*NAMES, r"\xff\xfe not text.jpg"}
    assert len(paths) == len(expected[DAY]["predictions"]) + len(NAMES) + 1 + 1 + len(PICKLES)
    assert "<img" not in log
    assert "forged.jpg" not in [line.split()[-1] for line in log.splitlines() if line.startswith("2026-11-20")]


def test_the_metadata_of_an_image_is_stored_nowhere_else(hostile: tuple[Deployment, str]) -> None:
    deployment, log = hostile
    assert {row["path"]: row["error"] for row in deployment.rows("predictions", DAY)}["with a place.jpg"] is None
    derived = str([deployment.rows(table, DAY) for table in TABLES if table != "images"]) + log
    assert "where somebody lives" not in derived
    assert "12.345" not in derived


def test_no_pickle_is_loaded(hostile: tuple[Deployment, str]) -> None:
    deployment, _ = hostile
    errors = {row["path"]: row["error"] for row in deployment.rows("predictions", DAY)}
    assert {errors[name] for name in PICKLES} == {"not an image"}
    assert not (deployment.root / "touched").exists()


def test_files_that_come_go_and_change_while_a_day_is_read(deployment: Deployment) -> None:
    folder = deployment.folder(DAY)
    photo = next(folder.iterdir()).read_bytes()
    is_over = threading.Event()

    def stir() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            for kind in range(3):
                (folder / f"stirred {kind} {number % 40}.jpg").write_bytes(photo + bytes(number % 7))
            (folder / f"stirred 0 {(number + 20) % 40}.jpg").unlink(missing_ok=True)
            time.sleep(0.002)

    stirrer = threading.Thread(target=stir)
    stirrer.start()
    try:
        run = deployment.run("daily", DAY, DAYLIGHT_MAX_REJECTED_SHARE="1")
    finally:
        is_over.set()
        stirrer.join()
    assert run.is_good, run.text
    images, predictions = (deployment.rows(table, DAY) for table in ("images", "predictions"))
    assert sorted(row["path"] for row in predictions) == sorted(row["path"] for row in images)
    assert {row["error"] for row in predictions} <= {None, "vanished", "changed", "truncated", "empty"}
    settled = deployment.run("daily", DAY)
    assert settled.is_good, settled.text
    assert sorted(row["path"] for row in deployment.rows("predictions", DAY)) == sorted(os.listdir(folder))


def test_files_that_are_not_stored_and_change_before_they_are_embedded_are_reported(
    deployment: Deployment, expected: dict
) -> None:
    replaced, deleted, *_ = sorted(deployment.folder(DAY).iterdir())
    options = ("--kill", "resources.lake.feature_cache:embed_with_cache", "--signal", "SIGSTOP")
    run = deployment.start("daily", DAY, *options, DAYLIGHT_STORE_BYTES="never")
    run.wait_for_stop()
    replaced.write_bytes(replaced.read_bytes() + b"x")
    deleted.unlink()
    run.process.send_signal(signal.SIGCONT)
    run.wait()
    assert run.is_good, run.text
    predictions, usual = deployment.rows("predictions", DAY), expected[DAY]["predictions"]
    assert predictions is not None
    errors = {row["path"]: row["error"] for row in predictions if row["error"]}
    assert errors == {replaced.name: "changed", deleted.name: "vanished"}
    assert [row for row in predictions if not row["error"]] == [row for row in usual if row["path"] not in errors]
    run = deployment.run("daily", DAY, DAYLIGHT_STORE_BYTES="never")
    assert run.is_good, run.text
    again = {row["path"]: row["error"] for row in deployment.rows("predictions", DAY) or ()}
    assert again == {row["path"]: None for row in usual if row["path"] != deleted.name}


def test_a_hundred_thousand_files_in_one_folder(deployment: Deployment) -> None:
    photos = sorted(deployment.folder(DAY).iterdir())
    for number in range(100_000):
        os.link(photos[number % len(photos)], deployment.folder(DAY) / f"again {number}.jpg")
    run = deployment.run("daily", DAY)
    assert run.is_good, run.text
    assert len(deployment.rows("predictions", DAY)) == 100_000 + len(photos)
    assert len(deployment.rows("image_features", DAY)) == len(photos)


@pytest.mark.parametrize("day", ["2026-03-08", "2026-11-01"], ids=["of 23 hours", "of 25 hours"])
def test_a_day_of_daylight_saving_is_a_day(day: str, deployment: Deployment, expected: dict) -> None:
    shutil.copytree(deployment.folder(DAY), deployment.folder(day), dirs_exist_ok=True)
    run = deployment.run("daily", day, TZ="America/New_York")
    assert run.is_good, run.text
    for table in TABLES:
        assert without_day(deployment.rows(table, day)) == without_day(expected[DAY][table])
