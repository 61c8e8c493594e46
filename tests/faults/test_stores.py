"""Object stores: landing zone and lake in S3 and Azure give the same tables as folders, and keys stay secret."""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import MakePhoto
from deltalake import DeltaTable
from deployment import DAY, NEXT_DAY, TABLES, Deployment
from emulators import Store, start_store
from pyarrow import fs

from pipeline.embed.contents import COLUMNS, read_contents
from pipeline.embed.reasons import CHANGED, VANISHED
from pipeline.reviews.answer_files import read_answers
from pipeline.reviews.answers import Answer, Key
from pipeline.storage.files import list_files
from pipeline.storage.locations import open_location
from pipeline.storage.object_stores import open_store, storage_options
from resources.landing import LandingError, LandingZone
from resources.review.answer_log import AnswerLog, erase_answers


@pytest.fixture(scope="module", params=["s3", "azure", "azure-signed", "azure-identity"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with (
        start_store(request.param, tmp_path_factory.mktemp(request.param)) as store,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in store.environment.items():
            patch.setenv(name, value)
        store.make_bucket()
        yield store


@pytest.fixture(scope="module")
def stored(
    store: Store, untrained: Deployment, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    """A bucket with labelled images and two days, both predicted in one run.

    In S3 the classifier is trained; into Azure a lake from a folder is copied.
    """
    deployment = Deployment(tmp_path_factory.mktemp("stored"), **store.environment)
    (deployment.root / "tiny.onnx").write_bytes((untrained.root / "tiny.onnx").read_bytes())
    deployment.environment |= {
        "DAYLIGHT_LANDING": f"{store.root}/landing",
        "DAYLIGHT_LAKE": f"{store.root}/a lake",
        "XDG_CACHE_HOME": str(deployment.root / "cache"),
    }
    filesystem, root = open_store(f"{store.root}/landing")
    fs.copy_files(str(untrained.root / "landing"), root, destination_filesystem=filesystem)
    if not store.root.startswith("s3://"):
        filesystem, root = open_store(f"{store.root}/a lake")
        fs.copy_files(str(request.getfixturevalue("trained").lake), root, destination_filesystem=filesystem)
    else:
        training = deployment.run("training")
        assert training.is_good, training.text
    daily = deployment.run("daily", DAY, NEXT_DAY)
    assert daily.is_good, daily.text
    return deployment


def rows_in(store: Store, table: str, day: str) -> list[dict]:
    uri = f"{store.root}/a lake/{table}"
    delta = DeltaTable(uri, storage_options=storage_options(uri))
    return sorted(delta.to_pyarrow_table(filters=[("day", "=", date.fromisoformat(day))]).to_pylist(), key=str)


def without_time(rows: list[dict]) -> list[dict]:
    """Drops the time of modification, which is that of the upload."""
    return [{name: value for name, value in row.items() if name != "modified_at"} for row in rows]


@pytest.mark.parametrize("table", TABLES)
def test_the_tables_are_those_of_folders(table: str, store: Store, stored: Deployment, expected: dict) -> None:
    for day in (DAY, NEXT_DAY):
        assert without_time(rows_in(store, table, day)) == without_time(expected[day][table])


def test_a_day_run_again_on_other_machines_is_replaced_and_not_duplicated(
    store: Store, stored: Deployment, expected: dict
) -> None:
    """Two runs at once, without local copies of the models."""
    runs = [stored.start("daily", DAY, XDG_CACHE_HOME=str(stored.root / name)) for name in ("here", "there")]
    while any(run.process.poll() is None for run in runs):
        for command in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it has ended
                assert store.secret.encode() not in command.read_bytes(), command
        time.sleep(0.5)
    for run in runs:
        run.wait()
    assert any(run.is_good for run in runs), runs[0].text + runs[1].text
    for run in runs:
        assert run.is_good or "another run wrote" in run.text, run.text
        assert store.secret not in run.text
    assert rows_in(store, "predictions", DAY) == expected[DAY]["predictions"]


def test_bytes_that_are_not_stored_are_read_from_the_store_again(
    store: Store, stored: Deployment, make_photo: MakePhoto
) -> None:
    day, photos = "2026-11-22", {f"{seed} 100%25#é.jpg": make_photo("red", 7000 + seed) for seed in range(6)}
    filesystem, root = open_store(f"{store.root}/landing/days/{day}")
    filesystem.create_dir(root)
    for name, photo in photos.items():
        with filesystem.open_output_stream(f"{root}/{name}") as sink:
            sink.write(photo)
    run = stored.run("daily", day, DAYLIGHT_STORE_BYTES="never")
    assert run.is_good, run.text
    images = rows_in(store, "images", day)
    assert {row["path"]: row["content"] for row in images} == dict.fromkeys(photos)
    for row in images:
        assert row["location"].decode() == f"{store.root}/landing/days/{day}/{row['path']}"
        assert open_location(row["location"]).read() == photos[row["path"]]
    assert [row["error"] for row in rows_in(store, "image_features", day)] == [None] * len(photos)
    with filesystem.open_output_stream(images[0]["location"].decode().replace(store.root, root.split("/")[0])) as sink:
        sink.write(b"another image")
    (read,) = read_contents(pa.RecordBatch.from_pylist(images).select(COLUMNS))
    assert read.reasons == {0: CHANGED}
    for name in photos:
        filesystem.delete_file(f"{root}/{name}")  # Azurite deletes no folder with a signature
    assert {reason for read in read_contents(read.rows) for reason in read.reasons.values()} == {VANISHED}


def test_no_key_is_found_in_any_file_or_log(store: Store, stored: Deployment) -> None:
    filesystem, root = open_store(store.root)
    for info in filesystem.get_file_info(fs.FileSelector(root, recursive=True)):
        if info.type == fs.FileType.File:
            with filesystem.open_input_file(info.path) as file:
                assert store.secret.encode() not in file.read(), info.path
    for path in stored.root.rglob("*"):
        if path.is_file():
            assert store.secret.encode() not in path.read_bytes(), path


def test_a_day_without_images_is_an_empty_object_or_a_folder_as_consoles_make_them(store: Store) -> None:
    filesystem, root = open_store(f"{store.root}/marked/days")
    filesystem.create_dir(f"{root}/2026-11-22")
    with filesystem.open_output_stream(f"{root}/2026-11-23"):
        pass
    zone = LandingZone(landing=f"{store.root}/marked", training="")
    folder, marker = zone.day_folders(["2026-11-22", "2026-11-23"]).values()
    assert folder is not None
    assert list_files(folder).num_rows == 0
    assert marker is None
    with pytest.raises(LandingError, match="2026-11-24 does not exist"):
        zone.day_folders(["2026-11-24"])


def test_answers_of_two_servers_are_kept_in_the_store_and_can_be_erased(store: Store) -> None:
    lake = f"{store.root}/an answered lake"
    now, keys = datetime(2026, 11, 30, 9, tzinfo=UTC), [Key(date(2026, 11, 27), name * 64) for name in "abc"]
    given = enumerate(zip(keys, "xyy", strict=True))
    answers = [Answer(key, "apple", who, now + timedelta(seconds=n), f"{who} {n}") for n, (key, who) in given]
    logs = [AnswerLog(lake) for _ in range(2)]
    logs[0].append(answers[:1])
    logs[1].append(answers[1:2])
    assert read_answers(lake).standing() == answers[:2], "an answer is in the store before the next image shows"
    logs[1].append(answers[2:])
    for log in logs:
        log.close()
    assert read_answers(lake).standing() == answers
    assert len(erase_answers(lake, "b" * 64)) == 1
    assert read_answers(lake).standing() == [answers[0], answers[2]]


def test_a_missing_bucket_fails_the_run_by_name(store: Store, stored: Deployment) -> None:
    run = stored.run("daily", DAY, DAYLIGHT_LANDING=store.root.replace("photos", "nowhere"))
    assert run.process.returncode == 1
    assert "nowhere" in run.text
    assert "DAYLIGHT_LANDING" in run.text
    assert store.secret not in run.text
