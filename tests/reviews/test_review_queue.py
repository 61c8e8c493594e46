"""The review queue holds each image worth a look once, with the first reason that applies, whichever engine asks."""

import hashlib
import io
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import MakePhoto, StoreRows, make_frame
from PIL import Image
from pyspark.sql import SparkSession

from pipeline.daily.predictions import SHEET_SIZE
from pipeline.reviews import review_queue
from pipeline.reviews.audit import AuditSize
from pipeline.reviews.review_queue import (
    NO_SIMILARITIES,
    choose_tiles,
    describe_review_queue,
    make_queue,
    narrow_predictions,
    plan_queue,
)
from pipeline.similarity.novelty import Reference, normalise
from pipeline.storage import picked_rows
from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.columns.schema import parse_schema
from resources.lake.lake import Lake

FRIDAY, SATURDAY = date(2026, 11, 20), date(2026, 11, 21)
NO_AUDIT = AuditSize(share=0.0, min_count=0, max_count=0)
EVERYONE = AuditSize(share=1.0, min_count=0, max_count=1000)
FIRST_COLUMNS = "day date, image_id string, path string, predicted_label string, confidence double, decision string"
COLUMNS = f"{FIRST_COLUMNS}, classifier string, quality_flags array<string>, is_clustered boolean"
EMPTY = to_arrow_schema(parse_schema(review_queue.SCHEMA)).empty_table()
MAX_WIDTH = 480

Ask = Callable[..., list[dict]]


def predict(
    name: str,
    confidence: float | None = 0.9,
    day: date = FRIDAY,
    path: str = "",
    flags: Sequence[str] = (),
    is_clustered: bool = False,
) -> tuple:
    """A row of predictions, answered from 0.6 on; rejected without confidence."""
    decision = "rejected" if confidence is None else "answered" if confidence >= 0.6 else "review"
    label = None if confidence is None else "red"
    return day, name, path or f"{name}.jpg", label, confidence, decision, "v", list(flags), is_clustered


@pytest.fixture
def ask(spark: SparkSession, store_rows: StoreRows) -> Ask:
    """Queues predictions by both engines, which agree."""

    def queue(
        rows: Sequence[tuple],
        novel_below: float = 0.0,
        size: AuditSize = NO_AUDIT,
        similarities: pa.Table = NO_SIMILARITIES,
        former: pa.Table = EMPTY,
        columns: str = COLUMNS,
    ) -> list[dict]:
        query = plan_queue(novel_below, size)
        predictions = narrow_predictions(store_rows(make_frame(spark, rows, columns)))
        tables = {"predictions": predictions, "similarities": similarities, "former": former}
        small = query.run_on_driver(**tables).table
        frame = query.run_in_spark(spark, **tables).frame
        assert frame.schema == parse_schema(review_queue.SCHEMA)
        assert small.schema == to_arrow_schema(frame.schema)
        assert small.to_pylist() == frame.toArrow().to_pylist()
        return small.to_pylist()

    return queue


def compare(*found: tuple[date, str, float]) -> pa.Table:
    """Similarities, in the columns of `novelty.SCHEMA`."""
    rows = [dict(zip(NO_SIMILARITIES.schema.names, (*each, "nearest"), strict=True)) for each in found]
    return pa.Table.from_pylist(rows, NO_SIMILARITIES.schema)


def test_the_queue_has_each_uncertain_image_once_by_rising_confidence(ask: Ask) -> None:
    queued = ask(
        [
            predict("a", 0.5, path="b.jpg"),
            predict("a", 0.5, path="a.jpg"),
            predict("b", 0.4),
            predict("c", 0.9),
            predict("broken", None),
            predict("a", 0.3, SATURDAY),
        ]
    )
    assert [(row["day"], row["path"], row["confidence"], row["reason"]) for row in queued] == [
        (FRIDAY, "b.jpg", 0.4, "uncertain"),
        (FRIDAY, "a.jpg", 0.5, "uncertain"),
        (SATURDAY, "a.jpg", 0.3, "uncertain"),
    ]


def test_images_of_low_quality_are_queued_before_uncertain_ones(ask: Ask) -> None:
    queued = ask([predict("a", 0.4, flags=["blurred"]), predict("b", 0.5)])
    assert [(row["reason"], row["quality_flags"]) for row in queued] == [
        ("low quality", ["blurred"]),
        ("uncertain", []),
    ]


def test_images_of_a_cluster_are_novel_however_confident_they_are(ask: Ask) -> None:
    assert [row["reason"] for row in ask([predict("a", 0.95, is_clustered=True), predict("b", 0.95)])] == ["novel"]


def test_predictions_of_an_earlier_version_have_neither_flags_nor_clusters(ask: Ask) -> None:
    rows = [predict("a", 0.4)[:7], predict("b", 0.9)[:7]]
    queued = ask(rows, columns=f"{FIRST_COLUMNS}, classifier string")
    assert [(row["image_id"], row["reason"], row["quality_flags"]) for row in queued] == [("a", "uncertain", None)]


def test_an_image_that_was_queued_stays_unless_another_classifier_predicts_it(ask: Ask) -> None:
    former = ask([predict("a", 0.4), predict("b", 0.9)], size=EVERYONE)
    assert {row["image_id"]: row["reason"] for row in former} == {"a": "uncertain", "b": "audit"}
    stored = pa.Table.from_pylist(former, EMPTY.schema)
    again = ask([predict("a", 0.9), predict("b", 0.9), predict("c", 0.9)], former=stored)
    assert {row["image_id"]: row["reason"] for row in again} == {"a": "uncertain", "b": "audit"}
    assert {row["audit_weight"] for row in again} == {None}, "the sample is always of the whole day"
    assert {row["confidence"] for row in again} == {0.9}
    others = [(*predict(name, 0.9)[:6], "another", [], False) for name in "ab"]
    assert ask(others, former=stored) == []


def test_a_day_of_confident_predictions_has_an_empty_queue(ask: Ask) -> None:
    assert ask([predict("a"), predict("b")], 0.5) == []


def test_an_image_has_the_first_reason_that_applies_and_can_be_in_the_audit_too(ask: Ask) -> None:
    rows = [predict("unsure", 0.4), predict("new"), predict("usual"), predict("broken", None)]
    similarities = compare((FRIDAY, "unsure", 0.1), (FRIDAY, "new", 0.1), (FRIDAY, "usual", 0.9))
    queued = {row["image_id"]: row for row in ask(rows, 0.5, EVERYONE, similarities)}
    assert {name: row["reason"] for name, row in queued.items()} == {
        "unsure": "uncertain",
        "new": "novel",
        "usual": "audit",
    }
    assert {row["audit_weight"] for row in queued.values()} == {1.0}
    assert queued["usual"]["similarity"] == pytest.approx(0.9)
    assert {row["nearest_image_id"] for row in queued.values()} == {"nearest"}


@pytest.mark.parametrize("rows", [pytest.param(2**15, id="driver"), pytest.param(0, id="workers")])
def test_the_queue_compares_images_with_the_training_set(
    spark: SparkSession, store_rows: StoreRows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rows: int
) -> None:
    monkeypatch.setattr(picked_rows, "MAPPED_ROWS", rows)
    generator = np.random.default_rng(20261201)
    known = normalise(generator.normal(1, 0.1, (40, 16)).astype(np.float32))
    reference = Reference(np.array([f"known {number}" for number in range(40)], np.bytes_), known, 0.9, "digest")
    vectors = {"usual": known[7], "unsure": known[8], "new": -known[0]}
    predictions = store_rows(make_frame(spark, [predict("usual"), predict("unsure", 0.4), predict("new")], COLUMNS))
    columns = "day date, image_id string, features array<float>, error string, backbone string"
    features = [(FRIDAY, name, vector.tolist(), None, "digest") for name, vector in vectors.items()]
    broken = (FRIDAY, "broken", None, "not an image", "digest")
    stored = store_rows(make_frame(spark, [*features, broken], columns))
    lake, schema, days = Lake(root=str(tmp_path)), parse_schema(review_queue.SCHEMA), [str(FRIDAY)]
    former = lake.read_known(spark, "review_queue", schema, days)
    lake.write("review_queue", make_queue(predictions, stored, reference, NO_AUDIT, former), days)
    queued = {row["image_id"]: row for row in lake.read(spark, "review_queue", days).read_small().to_pylist()}
    assert {name: row["reason"] for name, row in queued.items()} == {"unsure": "uncertain", "new": "novel"}
    assert queued["unsure"]["nearest_image_id"] == "known 8"
    assert queued["unsure"]["similarity"] == pytest.approx(1, abs=1e-5)
    assert queued["new"]["similarity"] < 0


def open_sheet(jpeg: bytes) -> Image.Image:
    sheet = Image.open(io.BytesIO(jpeg))
    sheet.load()
    return sheet


def test_the_sheet_of_a_long_queue_is_bounded(
    spark: SparkSession, make_photo: MakePhoto, store_rows: StoreRows
) -> None:
    contents = [make_photo("blue", seed, (8, 8)) for seed in range(SHEET_SIZE + 6)]
    photos = [(FRIDAY, hashlib.sha256(content).hexdigest(), content) for content in contents]
    images = spark.createDataFrame(photos, "day date, image_id string, content binary")
    columns = ("'blue' as predicted_label", "0.5d as confidence", "0.5d as similarity", "1d as audit_weight")
    queue = images.selectExpr("day", "image_id", *columns, "'uncertain' as reason")
    stored = store_rows(images)
    report = describe_review_queue(stored, 0.25)(queue.toArrow())[FRIDAY]
    assert report.numbers == {
        "low_quality_count": 0,
        "uncertain_count": SHEET_SIZE + 6,
        "novel_count": 0,
        "audit_count": SHEET_SIZE + 6,
        "novel_below": 0.25,
    }
    sheet = open_sheet(report.images["contact_sheet"])
    assert sheet.format == "JPEG"
    assert sheet.width <= MAX_WIDTH
    one_row = open_sheet(describe_review_queue(stored, 0.25)(queue.limit(4).toArrow())[FRIDAY].images["contact_sheet"])
    assert sheet.height < one_row.height * SHEET_SIZE / 4


def test_every_reason_has_its_share_of_the_sheet_the_most_extreme_first(spark: SparkSession) -> None:
    counts = {"uncertain": 100, "novel": 12, "audit": 3}
    rows = [
        (FRIDAY, f"{number:03}", f"{number}.jpg", "red", 1 - number / 1000, reason, number / 1000, None, "v", [])
        for reason, count in counts.items()
        for number in range(count)
    ]
    chosen = choose_tiles(make_frame(spark, rows, review_queue.SCHEMA).toArrow())[FRIDAY]
    assert [(row["reason"], row["image_id"]) for row in chosen] == [
        *(("uncertain", f"{99 - rank:03}") for rank in range(10)),
        *(("novel", f"{rank:03}") for rank in range(11)),
        *(("audit", f"{rank:03}") for rank in range(3)),
    ]
