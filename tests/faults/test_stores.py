"""Object stores: landing zone and lake in S3 and Azure give the same tables as folders, and keys stay secret."""

import hmac
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pyarrow as pa
import pytest
from conftest import MakePhoto
from deltalake import DeltaTable
from deployment import DAY, NEXT_DAY, PROJECT, TABLES, Deployment
from pyarrow import fs
from servers import free_port

from pipeline.embed.contents import COLUMNS, read_contents
from pipeline.embed.reasons import CHANGED, VANISHED
from pipeline.reviews.answer_files import read_answers
from pipeline.reviews.answers import Answer, Key
from pipeline.storage.files import list_files
from pipeline.storage.locations import open_location
from pipeline.storage.object_stores import open_store, storage_options
from resources.landing import LandingError, LandingZone
from resources.review.answer_log import AnswerLog, erase_answers

SECRET = "hush-a-secret-that-nobody-may-read"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Public key of the emulator's only account."""

AZURITE = PROJECT / ".node" / "node_modules" / ".bin" / "azurite-blob"
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Store:
    """A running emulator.

    Attributes:
        root: URI of a bucket.
        secret: key or signature that must not be found anywhere.
        environment: variables with endpoint and key.
    """

    root: str
    secret: str
    environment: Mapping[str, str]


def sign() -> str:
    """A shared access signature of the emulator's account, for everything until 2099."""
    version, end, allowed = "2020-08-04", "2099-12-31T00:00:00Z", "rwdlacup"
    signed = "\n".join(["devstoreaccount1", allowed, "b", "sco", "", end, "", "https,http", version, ""])
    digest = hmac.digest(b64decode(AZURITE_KEY), signed.encode(), "sha256")
    parts = {"sv": version, "ss": "b", "srt": "sco", "sp": allowed, "se": end, "spr": "https,http"}
    return urlencode(parts | {"sig": b64encode(digest).decode()})


@pytest.fixture(scope="module", params=["s3", "azure", "azure-signed"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    port, folder = free_port(), tmp_path_factory.mktemp(request.param)
    endpoint = f"http://127.0.0.1:{port}"
    if request.param == "s3":
        command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
        keys = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "eu-central-1"}
        found = Store("s3://photos", SECRET, keys | {"AWS_ENDPOINT_URL": endpoint})
    else:
        options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)]
        command = [str(AZURITE), *options, "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
        keys = {"AZURE_STORAGE_ACCOUNT_NAME": "devstoreaccount1", "AZURE_STORAGE_ACCOUNT_KEY": AZURITE_KEY}
        found = Store("az://photos", AZURITE_KEY, keys | {"AZURE_STORAGE_ENDPOINT": f"{endpoint}/devstoreaccount1"})
    if request.param == "azure-signed":
        keys = {"AZURE_STORAGE_SAS_TOKEN": sign(), "AZURE_STORAGE_ENDPOINT": f"{endpoint}/devstoreaccount1"}
        found = Store("abfss://photos@devstoreaccount1.dfs.core.windows.net", sign().rpartition("sig=")[2], keys)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in found.environment.items():
            patch.setenv(name, value)
        try:
            make_bucket(found, process, folder / "log")
            yield found
        finally:
            process.terminate()
            process.wait()


def make_bucket(store: Store, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            filesystem, root = open_store(store.root)
            if isinstance(filesystem, fs.S3FileSystem):
                filesystem = fs.S3FileSystem(**bucket_makers_options(store))
            filesystem.create_dir(root)
        except OSError:
            time.sleep(0.3)
        else:
            return
    raise AssertionError(log.read_text())


def bucket_makers_options(store: Store) -> dict[str, object]:
    endpoint = store.environment["AWS_ENDPOINT_URL"].removeprefix("http://")
    return {"endpoint_override": endpoint, "scheme": "http", "allow_bucket_creation": True}


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
