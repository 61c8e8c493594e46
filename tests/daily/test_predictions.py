import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from conftest import MakePhoto, StoreRows
from PIL import Image
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from pipeline.daily import earlier_images, predictions
from pipeline.daily.difficulty_table import Difficulty
from pipeline.daily.predictions import predict_images
from pipeline.daily.predictions_page import describe_predictions
from pipeline.daily.rejected_files import describe_rejected
from pipeline.embed.backbone import Backbone
from pipeline.embed.reasons import TOO_MANY_BYTES, VANISHED
from pipeline.evaluation.ranked import OTHERS
from pipeline.images.features import extract_features
from pipeline.images.image_files import read_days
from pipeline.images.labels import list_training_files, read_training_images
from pipeline.images.sidecar_files import SIDECAR
from pipeline.images.split import label_features
from pipeline.reports.report import describe_all
from pipeline.reviews.audit import AuditSize
from pipeline.storage import picked_rows
from pipeline.storage.files import list_files
from pipeline.storage.local_frames import open_table
from pipeline.storage.rows import LazyRows
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.classifier import Classifier, ForeignFeaturesError
from pipeline.training.classifier_fit import fit_classifier
from pipeline.training.params import ClassifierParams

FRIDAY, SATURDAY = date(2026, 11, 20), date(2026, 11, 21)
Predict = Callable[..., DataFrame]

HOSTILE = [
    "_DSC0001.JPG",
    ".hidden.jpg",
    "<script>alert(1)</script>.jpg".replace("/", "∕"),
    "![x](http:∕∕evil.example)|`.jpg",
    "a:b c%20d?e*[f]{g}.jpg",
    "line\nbreak\ttab.jpg",
    "ünïcödé 🍎 \u202egpj.exe",
    "x" * 250,
]
MAX_WIDTH = 480
NO_AUDIT = AuditSize(share=0.0, min_count=0, max_count=0)


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory, make_photo: MakePhoto) -> Path:
    """Two days: one with images, equal images and broken files; one that shares an image with it."""
    root = tmp_path_factory.mktemp("days")
    friday, saturday = root / str(FRIDAY), root / str(SATURDAY)
    (friday / "shop" / "till").mkdir(parents=True)
    saturday.mkdir()
    for seed, name in enumerate(HOSTILE):
        (friday / name).write_bytes(make_photo("green", 1000 + seed))
    (friday / "red.jpg").write_bytes(make_photo("red", 1))
    (friday / "again.jpg").write_bytes(make_photo("red", 1))
    (friday / "shop" / "till" / "once more.jpg").write_bytes(make_photo("red", 1))
    (friday / "broken.jpg").write_bytes(make_photo("blue", 2)[:300])
    (friday / "broken too.jpg").write_bytes(make_photo("blue", 2)[:300])
    (friday / "empty.jpg").write_bytes(b"")
    (friday / "notes.txt").write_text("not an image")
    (saturday / "red.jpg").write_bytes(make_photo("red", 1))
    return root


@pytest.fixture(scope="module")
def images(spark: SparkSession, landing: Path) -> DataFrame:
    """All files of both days, and two unreadable ones of Friday."""
    found = read_days(lambda: spark, {day: str(landing / str(day)) for day in (FRIDAY, SATURDAY)}).frame
    rows = [
        Row(FRIDAY, None, "gone.jpg", 9, None, None, VANISHED, None),
        Row(FRIDAY, None, "film.jpg", 2**40, None, None, TOO_MANY_BYTES, None),
    ]
    return found.union(spark.createDataFrame(rows, found.schema)).cache()


@pytest.fixture(scope="module")
def stored_images(images: DataFrame, store_rows: StoreRows) -> StoredRows:
    return store_rows(images)


@pytest.fixture(scope="module")
def image_features(images: DataFrame, tiny_backbone: Backbone) -> DataFrame:
    return extract_features(images, tiny_backbone).cache()


@pytest.fixture(scope="module")
def classifier(spark: SparkSession, training_folder: Path, tiny_backbone: Backbone) -> Classifier:
    training_images = read_training_images(spark, list_training_files(str(training_folder)))
    features = label_features(extract_features(training_images, tiny_backbone), training_images)
    return fit_classifier(features, ClassifierParams("naive_bayes", "none", {"smoothing": 0.1}))


def settle(classifier: Classifier, **more: Any) -> list[Difficulty]:
    """Both days are as easy as the training set."""
    calibration = classifier.calibration
    own = {"temperature": calibration.temperature, "threshold": calibration.threshold, **more}
    return [Difficulty(day, classifier.version, 1, 1, 1, day, **own) for day in (FRIDAY, SATURDAY)]


@pytest.fixture(scope="module")
def predict(spark: SparkSession, stored_images: StoredRows, store_rows: StoreRows) -> Predict:
    """Predicts the files of both days, or others, from features that it stores."""

    def run(
        features: DataFrame,
        classifier: Classifier,
        days: Sequence[Difficulty] = (),
        files: StoredRows = stored_images,
        **more: Any,
    ) -> DataFrame:
        rows = predict_images(files, store_rows(features), classifier, days or settle(classifier), **more)
        return rows.frame.cache() if isinstance(rows, LazyRows) else open_table(spark, rows.table, rows.schema)

    return run


@pytest.fixture(scope="module")
def predicted(predict: Predict, image_features: DataFrame, classifier: Classifier) -> DataFrame:
    return predict(image_features, classifier)


@pytest.fixture(scope="module")
def rows(predicted: DataFrame) -> dict[tuple[date, str], Row]:
    return {(row["day"], row["path"]): row for row in predicted.collect()}


THRESHOLD = 0.6


def set_confidence(predicted: DataFrame, confidence: str) -> DataFrame:
    """Replaces the confidence of predictions, and their decision accordingly."""
    changed = predicted.withColumn("confidence", F.when(F.col("confidence").isNotNull(), F.expr(confidence)))
    decision = F.when(F.col("confidence") < THRESHOLD, "review").otherwise(F.col("decision"))
    return changed.withColumn("decision", decision)


def open_sheet(jpeg: bytes) -> Image.Image:
    sheet = Image.open(io.BytesIO(jpeg))
    sheet.load()
    return sheet


def test_every_file_of_every_day_has_one_row(
    predicted: DataFrame, rows: dict[tuple[date, str], Row], landing: Path
) -> None:
    on_disk = {
        (day, path) for day in (FRIDAY, SATURDAY) for path in list_files(str(landing / str(day)))["path"].to_pylist()
    }
    assert len(on_disk) == len(HOSTILE) + 8
    assert rows.keys() == on_disk | {(FRIDAY, "gone.jpg"), (FRIDAY, "film.jpg")}
    assert predicted.count() == len(rows)


def test_columns_match_the_schema_with_comments(predicted: DataFrame) -> None:
    expected = StructType.fromDDL(predictions.SCHEMA)
    assert predicted.columns == expected.fieldNames()
    assert predicted.schema.simpleString() == expected.simpleString()
    assert all(field.metadata["comment"] for field in predicted.schema)


def test_a_file_is_predicted_or_rejected_with_a_reason(rows: dict[tuple[date, str], Row]) -> None:
    for row in rows.values():
        rejected = row["decision"] == "rejected"
        assert rejected == (row["error"] is not None)
        assert [row[name] is None for name in ("predicted_label", "confidence", "probabilities")] == [rejected] * 3
    reasons = {path: row["error"] for (_, path), row in rows.items() if row["error"]}
    assert reasons == {
        "broken.jpg": "truncated",
        "broken too.jpg": "truncated",
        "empty.jpg": "empty",
        "notes.txt": "not an image",
        "gone.jpg": VANISHED,
        "film.jpg": TOO_MANY_BYTES,
    }


def test_only_an_unreadable_file_has_no_digest(rows: dict[tuple[date, str], Row], landing: Path) -> None:
    for (day, path), row in rows.items():
        if path in ("gone.jpg", "film.jpg"):
            assert row["image_id"] is None
        else:
            assert row["image_id"] == hashlib.sha256((landing / str(day) / path).read_bytes()).hexdigest()


def test_equal_images_have_equal_predictions_on_every_path_and_day(rows: dict[tuple[date, str], Row]) -> None:
    places = [(FRIDAY, "red.jpg"), (FRIDAY, "again.jpg"), (FRIDAY, "shop/till/once more.jpg"), (SATURDAY, "red.jpg")]
    predicted = {(rows[place]["predicted_label"], rows[place]["confidence"]) for place in places}
    assert len(predicted) == 1
    assert {label for label, _ in predicted} == {"red"}


def test_images_with_hostile_names_are_predicted(rows: dict[tuple[date, str], Row]) -> None:
    assert {rows[FRIDAY, name]["predicted_label"] for name in HOSTILE} == {"green"}


def test_every_row_names_its_classifier_and_backbone(rows: dict[tuple[date, str], Row], classifier: Classifier) -> None:
    assert {(row["classifier"], row["backbone"]) for row in rows.values()} == {
        (classifier.version, classifier.backbone)
    }


def test_the_decision_follows_from_the_confidence(
    predict: Predict, image_features: DataFrame, predicted: DataFrame, classifier: Classifier
) -> None:
    grey = F.array(*[F.lit(0.5).cast("float")] * 48)
    uncertain = image_features.withColumn("features", F.when(F.col("features").isNotNull(), grey))
    seen = set()
    for row in predict(uncertain, classifier).union(predicted).collect():
        if row["confidence"] is None:
            assert row["decision"] == "rejected"
        else:
            assert row["decision"] == (
                "answered" if row["confidence"] >= classifier.calibration.threshold else "review"
            )
        seen.add(row["decision"])
    assert seen == {"answered", "review", "rejected"}


def test_a_file_newer_than_the_features_is_rejected_with_a_reason(
    predict: Predict, image_features: DataFrame, classifier: Classifier
) -> None:
    stale = image_features.where(F.col("day") != FRIDAY)
    late = predict(stale, classifier).where("path = 'red.jpg'").orderBy("day").collect()
    assert [(row["decision"], row["error"]) for row in late] == [("rejected", "no features"), ("answered", None)]


@pytest.fixture(scope="module")
def softmax(spark: SparkSession, training_folder: Path, tiny_backbone: Backbone) -> Classifier:
    training_images = read_training_images(spark, list_training_files(str(training_folder)))
    features = label_features(extract_features(training_images, tiny_backbone), training_images)
    return fit_classifier(features, ClassifierParams(params={"maxIter": 5}))


def test_the_driver_predicts_few_files_as_workers_predict_many(
    predict: Predict, image_features: DataFrame, softmax: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    clustered = image_features.where(f"day = '{SATURDAY}' and error is null").select("day", "image_id").toArrow()
    found = []
    for limit in (2**13, 0):
        monkeypatch.setattr(picked_rows, "MAPPED_ROWS", limit)
        days = settle(softmax, label_thresholds={"red": 2.0}, review_flags=["blurred"])
        predicted = predict(image_features, softmax, days, clustered=clustered)
        found.append({(row["day"], row["path"]): row for row in predicted.collect()})
    assert found[0] == found[1]
    assert {row["decision"] for row in found[0].values()} == {"answered", "review", "rejected"}


def test_the_driver_answers_with_an_ancestor_as_workers_do(
    predict: Predict,
    spark: SparkSession,
    training_folder: Path,
    tiny_backbone: Backbone,
    image_features: DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training_images = read_training_images(spark, list_training_files(str(training_folder)))
    features = label_features(extract_features(training_images, tiny_backbone), training_images)
    below = features.withColumn("label", F.concat(F.when(F.col("label") == "red", "warm/").otherwise("cold/"), "label"))
    classifier = fit_classifier(below, ClassifierParams(params={"maxIter": 5}))
    found = []
    for limit in (2**13, 0):
        monkeypatch.setattr(picked_rows, "MAPPED_ROWS", limit)
        days = settle(classifier, threshold=1.1, ancestor_thresholds={1: 0.5})
        predicted = predict(image_features, classifier, days)
        found.append({(row["day"], row["path"]): row for row in predicted.collect()})
    assert found[0] == found[1]
    assert {row["predicted_label"] for row in found[0].values()} == {"warm", "cold", None}
    assert {row["threshold"] for row in found[0].values()} == {0.5, 1.1}, "rejected files have that of their day"


def test_features_of_another_backbone_or_decoder_fail_the_day(
    predict: Predict, image_features: DataFrame, classifier: Classifier, softmax: Classifier
) -> None:
    for column, message in (("backbone", "but got another"), ("decoder", "but these were by another")):
        for each in (classifier, softmax):
            with pytest.raises(ForeignFeaturesError, match=message):
                predict(image_features.withColumn(column, F.lit("another")), each)


def test_the_numbers_of_a_day_add_up_to_its_files(stored_images: StoredRows, predicted: DataFrame) -> None:
    friday = set_confidence(predicted.where(F.col("day") == FRIDAY), "if(predicted_label = 'red', 0.5d, 0.9d)")
    report = describe_predictions(stored_images)(friday.toArrow())[FRIDAY]
    counts = {name: report.numbers[name] for name in ("answered_count", "review_count", "rejected_count")}
    assert counts == {"answered_count": len(HOSTILE), "review_count": 3, "rejected_count": 6}
    assert sum(counts.values()) == friday.count()
    assert report.numbers["mean_confidence"] == pytest.approx((0.9 * len(HOSTILE) + 0.5 * 3) / (len(HOSTILE) + 3))
    assert report.tables["labels"].splitlines()[2:] == [f"| green | {len(HOSTILE)} |", "| red | 3 |"]
    assert report.texts["classifier"] == predicted.first()["classifier"]


def test_a_sheet_shows_each_image_once_and_fits_the_page(stored_images: StoredRows, predicted: DataFrame) -> None:
    friday = predicted.where(F.col("day") == FRIDAY)
    sheet = open_sheet(describe_predictions(stored_images)(friday.toArrow())[FRIDAY].images["contact_sheet"])
    assert sheet.format == "JPEG"
    assert sheet.width <= MAX_WIDTH
    assert len(HOSTILE) + 1 == 9, "three rows of four, the last with one image"
    tile_height = sheet.height / 3
    rightmost = sheet.crop((sheet.width // 2, int(2 * tile_height), sheet.width, sheet.height))
    assert min(low for low, _ in rightmost.getextrema()) > 240, "equal images are drawn once"
    red = sheet.crop((20, int(2 * tile_height) + 30, 100, int(2 * tile_height) + 90)).resize((1, 1)).getpixel((0, 0))
    assert red[0] > 2 * max(red[1:]), "tiles are ordered by label"


def test_a_day_of_rejected_files_is_described_without_a_sheet(stored_images: StoredRows, predicted: DataFrame) -> None:
    report = describe_predictions(stored_images)(predicted.where("decision = 'rejected'").toArrow())[FRIDAY]
    counts = ("answered", "review", "rejected", "sidecar", "near_duplicate")
    assert report.numbers == {f"{name}_count": 6 * (name == "rejected") for name in counts}
    assert (report.images, report.tables) == ({}, {})


def test_sidecar_files_are_counted_and_shown_apart_from_rejected_ones(
    predict: Predict,
    spark: SparkSession,
    image_features: DataFrame,
    images: DataFrame,
    stored_images: StoredRows,
    store_rows: StoreRows,
    classifier: Classifier,
) -> None:
    sidecars = [Row(FRIDAY, None, f"{place}/.DS_Store", 9, None, None, SIDECAR, None) for place in range(5)]
    sidecars.append(Row(SATURDAY, None, ".DS_Store", 9, None, None, SIDECAR, None))
    copied = images.union(spark.createDataFrame(sidecars, images.schema))
    predicted = predict(image_features, classifier, files=store_rows(copied))
    found = predicted.where(F.col("error") == SIDECAR).select("decision", "image_id", "predicted_label").collect()
    assert found == [Row("rejected", None, None)] * 6
    reports = describe_all(describe_predictions(stored_images), describe_rejected)(predicted.toArrow())
    friday, saturday = reports[FRIDAY], reports[SATURDAY]
    assert (friday.numbers["rejected_count"], friday.numbers["sidecar_count"]) == (6, 5)
    assert SIDECAR not in friday.tables["rejected"]
    assert (saturday.numbers["rejected_count"], saturday.numbers["sidecar_count"]) == (0, 1)
    assert "rejected" not in saturday.tables


def test_days_described_together_are_described_as_each_alone(stored_images: StoredRows, predicted: DataFrame) -> None:
    describe = describe_all(describe_predictions(stored_images), describe_rejected)
    together = describe(predicted.toArrow())
    assert together.keys() == {FRIDAY, SATURDAY}
    for day in together:
        assert describe(predicted.where(F.col("day") == day).toArrow()) == {day: together[day]}


def test_rejected_files_are_counted_by_reason_and_named_on_a_sheet(predicted: DataFrame) -> None:
    reports = describe_rejected(predicted.toArrow())
    assert list(reports) == [FRIDAY], "Saturday has no rejected file"
    report = reports[FRIDAY]
    assert "| truncated | 2 |" in report.tables["rejected"]
    sheet = open_sheet(report.images["rejected_files"])
    assert sheet.width <= MAX_WIDTH


def test_hostile_labels_are_escaped(stored_images: StoredRows, predicted: DataFrame) -> None:
    label = "<script>|![x](http://evil.example)`\n\x00\u202e" + "w" * 500
    friday = predicted.where(F.col("day") == FRIDAY).withColumn(
        "predicted_label", F.when(F.col("predicted_label").isNotNull(), label)
    )
    report = describe_predictions(stored_images)(friday.toArrow())[FRIDAY]
    assert open_sheet(report.images["contact_sheet"]).width <= MAX_WIDTH
    (row,) = report.tables["labels"].splitlines()[2:]
    assert row.count("|") == 3
    assert not set("<>![]()`:/\x00\u202e") & set(row)


def flag(frame: DataFrame, condition: str, *flags: str) -> DataFrame:
    """Flags the images of some rows."""
    return frame.withColumn(
        "quality_flags", F.when(F.expr(condition), F.array(*map(F.lit, flags))).otherwise(F.array())
    )


def test_images_of_low_quality_are_answered_unless_a_setting_sends_them_to_review(
    predict: Predict, image_features: DataFrame, classifier: Classifier, predicted: DataFrame
) -> None:
    blurred = flag(image_features, f"day = '{SATURDAY}'", "blurred", "dark")
    for review_flags, decision in (((), "answered"), (("blank",), "answered"), (("blank", "dark"), "review")):
        days = settle(classifier, review_flags=review_flags)
        found = predict(blurred, classifier, days)
        (row,) = found.where(F.col("day") == SATURDAY).collect()
        assert (row["decision"], row["quality_flags"]) == (decision, ["blurred", "dark"])
        decisions = {row["path"]: row["decision"] for row in found.where(F.col("day") == FRIDAY).collect()}
        assert decisions == {row["path"]: row["decision"] for row in predicted.collect() if row["day"] == FRIDAY}


def test_a_label_that_needs_more_confidence_on_a_day_goes_to_review(
    predict: Predict, image_features: DataFrame, classifier: Classifier, predicted: DataFrame
) -> None:
    days = settle(classifier, threshold=0.0, label_thresholds={"red": float("inf")})
    found = predict(image_features, classifier, days).collect()
    answerable = [row for row in found if row["confidence"] is not None]
    assert {row["predicted_label"] for row in answerable} > {"red"}
    for row in answerable:
        expected = ("review", float("inf")) if row["predicted_label"] == "red" else ("answered", 0.0)
        assert (row["decision"], row["threshold"]) == expected
    nothing = [replace(each, threshold=None) for each in days]
    reviewed = predict(image_features, classifier, nothing)
    assert {(row["decision"], row["threshold"]) for row in reviewed.where("confidence is not null").collect()} == {
        ("review", None)
    }


def test_images_of_a_cluster_go_to_review_however_confident_they_are(
    predict: Predict, image_features: DataFrame, classifier: Classifier, predicted: DataFrame
) -> None:
    clustered = image_features.where(f"day = '{SATURDAY}' and error is null").select("day", "image_id")
    found = predict(image_features, classifier, clustered=clustered)
    (row,) = found.where(F.col("day") == SATURDAY).collect()
    assert (row["decision"], row["is_clustered"]) == ("review", True)
    assert row["confidence"] >= classifier.calibration.threshold
    others = {row["path"]: row["decision"] for row in found.where(F.col("day") == FRIDAY).collect()}
    assert others == {row["path"]: row["decision"] for row in predicted.collect() if row["day"] == FRIDAY}


def test_an_image_not_sure_of_its_label_is_answered_with_an_ancestor(
    predict: Predict, spark: SparkSession, training_folder: Path, tiny_backbone: Backbone, image_features: DataFrame
) -> None:
    training_images = read_training_images(spark, list_training_files(str(training_folder)))
    features = label_features(extract_features(training_images, tiny_backbone), training_images)
    kind = F.when(F.col("label") == "red", "warm/").otherwise("cold/")
    below = features.withColumn("label", F.concat(kind, "label"))
    classifier = fit_classifier(below, ClassifierParams("naive_bayes", "none", {"smoothing": 0.1}))
    assert classifier.labels == ["cold/blue", "cold/green", "warm/red"]

    def ask(**difficulty: Any) -> dict[str, Row]:
        found = predict(image_features, classifier, settle(classifier, temperature=1.0, **difficulty))
        return {row["path"]: row for row in found.where(F.col("day") == FRIDAY).collect()}

    sure = ask(threshold=0.0)
    assert (sure["red.jpg"]["predicted_label"], sure["red.jpg"]["level"]) == ("warm/red", 2)
    broad = ask(threshold=1.1, ancestor_thresholds={1: 0.5})
    row = broad["red.jpg"]
    assert (row["predicted_label"], row["level"], row["decision"], row["threshold"]) == ("warm", 1, "answered", 0.5)
    assert row["confidence"] == pytest.approx(row["probabilities"]["warm/red"])
    green = broad[HOSTILE[0]]
    shares = green["probabilities"]
    assert (green["predicted_label"], green["confidence"]) == (
        "cold",
        pytest.approx(shares["cold/blue"] + shares["cold/green"]),
    )
    none = ask(threshold=1.1, ancestor_thresholds={1: 1.1})
    assert (none["red.jpg"]["predicted_label"], none["red.jpg"]["decision"]) == ("warm/red", "review")
    assert (none["empty.jpg"]["decision"], none["empty.jpg"]["level"]) == ("rejected", None)


def test_flat_labels_have_no_level(rows: dict[tuple[date, str], Row]) -> None:
    assert {row["level"] for row in rows.values()} == {None}


def test_files_of_an_image_that_was_sent_before_name_it_and_are_counted(
    predict: Predict,
    spark: SparkSession,
    images: DataFrame,
    stored_images: StoredRows,
    image_features: DataFrame,
    classifier: Classifier,
    predicted: DataFrame,
) -> None:
    image_id = images.where("path = 'red.jpg'").first()["image_id"]
    earlier = spark.createDataFrame([(FRIDAY, image_id, "first")], earlier_images.SCHEMA)
    found = predict(image_features, classifier, earlier=earlier)
    marked = {(row["day"], row["path"]) for row in found.where("near_duplicate_of = 'first'").collect()}
    assert marked == {(FRIDAY, path) for path in ("red.jpg", "again.jpg", "shop/till/once more.jpg")}
    assert sorted(found.drop("near_duplicate_of").collect(), key=str) == sorted(
        predicted.drop("near_duplicate_of").collect(), key=str
    )
    pages = describe_predictions(stored_images)(found.toArrow())
    assert pages[FRIDAY].numbers["near_duplicate_count"] == 3
    assert pages[FRIDAY].texts["near_duplicates"].startswith("3 files are images of this day or the 31 days before")
    assert pages[SATURDAY].numbers["near_duplicate_count"] == 0
    assert "near_duplicates" not in pages[SATURDAY].texts


def test_features_of_an_earlier_version_have_no_quality_flags(
    predict: Predict, image_features: DataFrame, classifier: Classifier, predicted: DataFrame
) -> None:
    former = predict(image_features.drop("quality_flags"), classifier).collect()
    assert {row["quality_flags"] for row in former} == {None}
    assert {row["path"]: row["decision"] for row in former} == {
        row["path"]: row["decision"] for row in predicted.collect()
    }


def test_a_prediction_lists_the_most_probable_labels_and_the_sum_of_the_others(
    predict: Predict, image_features: DataFrame, classifier: Classifier, rows: dict[tuple[date, str], Row]
) -> None:
    short = {(row["day"], row["path"]): row for row in predict(image_features, classifier, top_labels=2).collect()}
    for key, row in rows.items():
        if row["probabilities"] is None:
            assert short[key] == row
            continue
        first, second, third = sorted(row["probabilities"], key=lambda label: -row["probabilities"][label])
        shares = row["probabilities"]
        assert short[key]["probabilities"] == pytest.approx(
            {first: shares[first], second: shares[second], OTHERS: shares[third]}
        )
        assert (short[key]["predicted_label"], short[key]["confidence"]) == (first, shares[first])
