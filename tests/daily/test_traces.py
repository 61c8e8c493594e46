"""Traces of one image, read from real small tables without Spark."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from pyarrow import fs
from servers import free_port

from pipeline.daily.trace_text import SHOWN_ROWS, align, format_trace
from pipeline.daily.traces import DELETED, FORMER, IN_USE, UnknownImageError, parse_query
from pipeline.reports.markdown import escape_invisible
from pipeline.training.training_set import TRAINING_SET
from resources.image_traces import ImageTraces

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60
FRIDAY, SATURDAY = date(2026, 11, 20), date(2026, 11, 21)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOSTILE = "\x1b[2Jgone\u202egpj.exe\nSHOUT"
NEW, OLD, LOST, MUTE = "aaaa000011112222", "bbbb000011112222", "cccc000011112222", "dddd000011112222"


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


COAT, SHOE, COAT_COPY, COPY_OF_COPY = map(digest, ("coat", "shoe", "coat, saved again", "that one, mirrored"))


def predict(day: date, path: str, image_id: str | None, **changes: object) -> dict[str, object]:
    row = {"day": day, "path": path, "image_id": image_id, "classifier": NEW, "backbone": "8d" * 32}
    prediction = {"predicted_label": "coat", "confidence": 0.97, "decision": "answered", "error": None}
    return row | prediction | changes


def arrival(row: Mapping[str, object]) -> dict[str, object]:
    where = {name: row[name] for name in ("day", "path", "image_id")}
    return {**where, "length": 48211, "modified_at": NOON, "content": b"bytes", "read_error": row["error"]}


def store(lake: Path, table: str, rows: list[dict]) -> None:
    arrow = pa.Table.from_pylist(rows)
    types = [pa.string() if pa.types.is_null(field.type) else field.type for field in arrow.schema]
    arrow = arrow.cast(pa.schema(list(zip(arrow.column_names, types, strict=True))))
    write_deltalake(lake / table, arrow, partition_by=["day"] if "day" in rows[0] else None)


def store_classifier(lake: Path, version: str, members: list[tuple[str, str, str, str | None]] | None) -> None:
    folder = lake / "models" / "classifier" / version
    folder.mkdir(parents=True)
    scores = {"accuracy": 0.913, "accuracy_interval": [0.89, 0.93], "train_count": 3, "holdout_count": 1}
    (folder / "evaluation.json").write_text(json.dumps({**scores, "backbone": "8d" * 32}))
    if members is not None:
        columns = [list(column) for column in zip(*members, strict=True)]
        pq.write_table(pa.table(columns, schema=TRAINING_SET), folder / "training_set.parquet")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days, two labelled images and their near-duplicates, and four classifiers, one of them deleted."""
    lake = tmp_path_factory.mktemp("lake")
    predictions = [
        predict(FRIDAY, "cam1/coat.jpg", COAT, near_duplicate_of=None),
        predict(SATURDAY, "cam1/coat.jpg", SHOE, predicted_label="shoe", classifier=LOST, near_duplicate_of=COAT),
        predict(SATURDAY, "again/coat.jpg", COAT, decision="review", confidence=0.41, classifier=OLD),
        predict(
            SATURDAY, "gone.jpg", None, predicted_label=None, confidence=None, decision="rejected", error="vanished"
        ),
        predict(SATURDAY, HOSTILE, digest("hostile")),
    ]
    store(lake, "predictions", predictions)
    unpredicted = predict(date(2026, 11, 22), "late.jpg", digest("late"), error=None)
    store(lake, "images", [arrival(row) for row in [*predictions, unpredicted]])
    store(
        lake,
        "image_features",
        [
            {
                "day": day,
                "image_id": COAT,
                "width": 640,
                "height": 480,
                "format": "JPEG",
                "error": None,
                "backbone": "8d",
            }
            for day in (FRIDAY, SATURDAY)
        ],
    )
    asked = {"day": SATURDAY, "image_id": COAT, "reason": "uncertain", "predicted_label": "coat", "confidence": 0.41}
    store(lake, "review_queue", [{**asked, "audit_weight": 3.0, "classifier": OLD}])
    review = {"day": SATURDAY, "image_id": COAT, "label": "jacket", "predicted_label": "coat", "origin": "maria.csv"}
    store(lake, "reviews", [{**review, "problem": None}])
    store(
        lake,
        "training_images",
        [
            {"image_id": each, "path": path, "label": "jacket", "origin": "folder", "length": 1, "modified_at": NOON}
            for each, path in ((COAT, "jacket/1.jpg"), (COAT_COPY, "jacket/2.jpg"))
        ],
    )
    store(lake, "training_features", [{"image_id": COAT, "width": 640, "error": None}])
    store(lake, "training_split", [{"image_id": COAT, "label": "jacket", "split": "train", "group": COAT}])
    pairs = [(COAT, COAT_COPY), (COPY_OF_COPY, COAT_COPY)]
    store(
        lake,
        "near_duplicates",
        [{"image_id": one, "near_duplicate_id": other, "correlation": 0.97} for one, other in pairs],
    )
    store_classifier(lake, NEW, [(COAT, "jacket/1.jpg", "jacket", "train"), (SHOE, "shoe/1.jpg", "shoe", "holdout")])
    store_classifier(lake, OLD, [(COPY_OF_COPY, "jacket/9.jpg", "jacket", "train"), (COAT, "x.jpg", "jacket", None)])
    store_classifier(lake, MUTE, None)
    (lake / "models" / "classifier.json").write_text(json.dumps({"classifier": NEW, "former": [OLD]}))
    return lake


def run(lake: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "DAYLIGHT_LAKE": str(lake), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "assets.commands.explain", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "text",
    [
        COAT,
        COAT[:8],
        COAT[:20].upper(),
        "2026-11-20/cam1/coat.jpg",
        "/data/images/days/2026-11-20/cam1/coat.jpg",
        "s3://bucket/days/2026-11-21/again/coat.jpg",
        "again/coat.jpg",
        "training/jacket/1.jpg",
    ],
)
def test_an_image_is_found_by_its_digest_and_by_the_end_of_its_path(lake: Path, text: str) -> None:
    assert ImageTraces(str(lake)).find(text).image_id == COAT


def test_a_local_file_is_found_by_its_bytes(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "from a letter.jpg").write_bytes(b"coat")
    assert ImageTraces(str(lake)).find(str(tmp_path / "from a letter.jpg")).image_id == COAT


def test_a_trace_has_all_days_predictions_and_classifiers_of_an_image(lake: Path) -> None:
    trace = ImageTraces(str(lake)).find(COAT)
    assert [(row["day"], row["path"]) for row in trace.arrivals] == [
        (FRIDAY, "cam1/coat.jpg"),
        (SATURDAY, "again/coat.jpg"),
    ]
    assert [(row["decision"], row["classifier"]) for row in trace.predictions] == [("answered", NEW), ("review", OLD)]
    assert [row["width"] for row in trace.features] == [640, 640]
    assert [row["reason"] for row in trace.queued] == ["uncertain"]
    assert [(row["label"], row["origin"]) for row in trace.reviews] == [("jacket", "maria.csv")]
    assert trace.training_row is not None
    assert trace.training_row["split"] == "train"
    assert "content" not in trace.arrivals[0]


def test_a_trace_names_the_image_that_was_sent_before(lake: Path) -> None:
    sentence = "sent before in another encoding or size:"
    assert f"{sentence} {COAT}" in format_trace(ImageTraces(str(lake)).find(SHOE))
    assert sentence not in format_trace(ImageTraces(str(lake)).find(COAT))


def test_a_trace_names_the_classifiers_trained_on_the_image_or_its_near_duplicates(lake: Path) -> None:
    trace = ImageTraces(str(lake)).find(COAT)
    states = {each.version: each.state for each in trace.classifiers}
    assert (states[NEW], states[OLD]) == (IN_USE, FORMER)
    derived = json.loads(trace.to_json())
    assert derived["trained_on_it"] == [NEW]
    assert derived["evaluated_on_it"] == []
    assert derived["saw_a_near_duplicate"] == [OLD], "near-duplicates are transitive"
    assert derived["unknown_training_set"] == [MUTE]
    shoe = json.loads(ImageTraces(str(lake)).find(SHOE).to_json())
    assert (shoe["trained_on_it"], shoe["evaluated_on_it"]) == ([], [NEW])


def test_an_image_that_left_all_tables_is_found_in_stored_training_sets(lake: Path) -> None:
    trace = ImageTraces(str(lake)).find("jacket/9.jpg")
    assert trace.image_id == COPY_OF_COPY
    assert [each.version for each in trace.seen_by] == [OLD]


def test_a_deleted_classifier_is_reported_as_deleted(lake: Path) -> None:
    trace = ImageTraces(str(lake)).find("2026-11-21/cam1/coat.jpg")
    assert {each.version: each.state for each in trace.classifiers}[LOST] == DELETED
    assert LOST in trace.unknown


def test_an_unreadable_file_is_found_by_its_day_and_path(lake: Path) -> None:
    text = format_trace(ImageTraces(str(lake)).find("gone.jpg"))
    assert "rejected (vanished)" in text
    assert "the bytes could not be read" in text


def test_a_day_without_predictions_is_searched(lake: Path) -> None:
    trace = ImageTraces(str(lake)).find("late.jpg")
    assert (trace.arrivals[0]["length"], trace.predictions) == (48211, [])


def test_a_path_of_two_images_on_two_days_is_ambiguous(lake: Path) -> None:
    with pytest.raises(UnknownImageError, match="matches 2 images: put the day") as refused:
        ImageTraces(str(lake)).find("cam1/coat.jpg")
    assert COAT[:16] in str(refused.value)
    assert SHOE[:16] in str(refused.value)


def test_a_query_with_a_day_matches_that_day_only(lake: Path) -> None:
    with pytest.raises(UnknownImageError, match="has no image") as refused:
        ImageTraces(str(lake)).find("/data/days/2026-11-20/again/coat.jpg")
    assert "2026-11-21/again/coat.jpg" in str(refused.value), "the closest match is listed"


def test_a_lake_in_an_object_store_gives_the_same_trace(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            copy_to_store(lake, "photos/a lake", f"127.0.0.1:{port}")
            stored = json.loads(ImageTraces("s3://photos/a lake").find(COAT[:12]).to_json())
        finally:
            server.terminate()
    folder = json.loads(ImageTraces(str(lake)).find(COAT[:12]).to_json())
    assert {each["version"] for each in stored["classifiers"]} == {each["version"] for each in folder["classifiers"]}
    for name in folder.keys() - {"classifiers"}:  # whose storing times differ
        assert stored[name] == folder[name], name


def copy_to_store(folder: Path, place: str, endpoint: str) -> None:
    store = fs.S3FileSystem(endpoint_override=endpoint, scheme="http", allow_bucket_creation=True)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            store.create_dir(place.partition("/")[0])
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.3)
    fs.copy_files(str(folder), place, destination_filesystem=store)


def test_a_lake_without_tables_has_no_image(tmp_path: Path) -> None:
    with pytest.raises(UnknownImageError, match="has no image"):
        ImageTraces(str(tmp_path)).find("a.jpg")


def test_the_command_starts_no_jvm_and_needs_no_dagster(lake: Path) -> None:
    code = (
        "import sys; from pipeline.daily.trace_text import format_trace;"
        " from resources.image_traces import ImageTraces;"
        " import assets.commands.explain; print(format_trace(ImageTraces(sys.argv[1]).find(sys.argv[2])));"
        " from pyspark import SparkContext; assert SparkContext._gateway is None; assert 'dagster' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(lake), COAT], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_command_exits_with_one_and_lists_the_closest_matches(lake: Path) -> None:
    done = run(lake, "nowhere/coat.jpg.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no image" in done.stderr
    assert run(lake, "--help").returncode == 0


def test_untrusted_names_move_no_cursor(lake: Path) -> None:
    for arguments in ([digest("hostile")], ["--json", digest("hostile")], ["x" + HOSTILE]):
        done = run(lake, *arguments)
        output = done.stdout + done.stderr
        assert "gone" in output
        assert all(letter.isprintable() or letter == "\n" for letter in output), arguments
        assert output.count("\nSHOUT") == 0


def test_invisible_characters_are_escaped_and_others_are_not() -> None:
    assert escape_invisible("Ünï 名 🦊.jpg") == "Ünï 名 🦊.jpg"
    assert escape_invisible("a\x1b[2J\u202eb\n") == "a\\x1b[2J\\u202eb\\n"


def test_long_lists_are_cut_off_with_a_notice() -> None:
    lines = align(["number"], [[number] for number in range(SHOWN_ROWS + 5)])
    assert len(lines) == SHOWN_ROWS + 2
    assert lines[-1] == "and 5 more (use --json to list all)"


def test_a_query_that_is_no_digest_and_no_day_is_a_path() -> None:
    assert parse_query("abc").prefix == ""
    assert parse_query("2026-13-45/a.jpg").dated == ()
    assert parse_query("x/2026-11-20/cam1/./a.jpg").dated == ((FRIDAY, "cam1/a.jpg"),)
    assert parse_query(os.fsdecode(b"b\xff.jpg")).paths == ("b\\xff.jpg",), "how such names are stored"


def test_a_lake_that_is_not_there_is_no_lake_without_the_image(tmp_path: Path) -> None:
    done = run(tmp_path / "missing", COAT)
    assert done.returncode == 1
    assert done.stderr == f"there is no lake in {tmp_path}/missing: set DAYLIGHT_LAKE to the folder of the tables\n"
