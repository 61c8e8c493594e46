"""Decoders: a day with every poison ends, each poison has its error, and the other images keep their features."""

import pytest
from broken_files import break_files
from deployment import DAY, Deployment
from poisons import POISONS, poison

from pipeline.embed.reasons import (
    DAMAGED,
    EMPTY,
    HEIC_NOT_INSTALLED,
    NOT_AN_IMAGE,
    NOTHING_VISIBLE,
    OUT_OF_MEMORY,
    TOO_MANY_PIXELS,
    TRUNCATED,
    UNSUPPORTED,
)

LABELLED = ("image_id", "path", "predicted_label", "error", "classifier", "quality_flags")
MAX_BYTES = 1.5e9
"""Maximum memory of a Python worker."""


def test_a_day_with_every_poison_loses_nothing(deployment: Deployment, expected: dict) -> None:
    deployment.set_spark(spark_python_daemon_module="poisoned_daemon")
    reasons = {}
    for number, (name, (_, reason)) in enumerate(POISONS.items()):
        path = f"{number:03} {name}.jpg"
        (deployment.folder(DAY) / path).write_bytes(poison(name))
        reasons[path] = reason
    run = deployment.run("daily", DAY, DAYLIGHT_MAX_SECONDS="10", DAYLIGHT_MAX_REJECTED_SHARE="1")
    assert run.is_good, run.text
    rows = deployment.rows("predictions", DAY)
    assert {row["path"]: row["error"] for row in rows if row["error"]} == reasons
    others = [row for row in rows if not row["error"]]
    assert sorted(map(str, others)) == sorted(map(str, expected[DAY]["predictions"]))
    features = [row for row in deployment.rows("image_features", DAY) if row["features"]]
    assert sorted(map(str, features)) == sorted(map(str, expected[DAY]["image_features"]))


@pytest.mark.usefixtures("spark")
def test_a_day_with_too_many_rejected_files_fails_and_is_complete(deployment: Deployment, expected: dict) -> None:
    for number in range(10):
        (deployment.folder(DAY) / f"{number}.jpg").write_bytes(b"")
    failures = deployment.failures("daily", DAY) or "green"
    assert "rejected_files_are_few: more than 5.0% rejected files" in failures
    assert len(deployment.rows("predictions", DAY)) == len(expected[DAY]["predictions"]) + 10
    assert deployment.rows("review_queue", DAY) is None


def test_a_day_of_broken_files_keeps_all_rows_and_the_features_of_the_others(
    deployment: Deployment, expected: dict
) -> None:
    broken = break_files([path.read_bytes() for path in sorted(deployment.folder(DAY).iterdir())])
    for name, content in broken.items():
        (deployment.folder(DAY) / name).write_bytes(content)
    run = deployment.start("daily", DAY, DAYLIGHT_MAX_REJECTED_SHARE="1")
    peaks = run.watch_workers()
    assert run.is_good, run.text
    rows = {row["path"]: row for row in deployment.rows("predictions", DAY)}
    assert len(rows) == len(expected[DAY]["predictions"]) + len(broken)
    for row in expected[DAY]["predictions"]:  # confidences follow from how hard the whole day is
        assert {name: rows[row["path"]][name] for name in LABELLED} == {name: row[name] for name in LABELLED}
    reasons = {row["error"] for path, row in rows.items() if path in broken}
    known = {EMPTY, TRUNCATED, DAMAGED, NOT_AN_IMAGE, TOO_MANY_PIXELS, UNSUPPORTED, HEIC_NOT_INSTALLED, OUT_OF_MEMORY}
    assert reasons <= known | {None, NOTHING_VISIBLE}
    assert TOO_MANY_PIXELS in reasons
    features = {row["image_id"]: row for row in deployment.rows("image_features", DAY)}
    assert all(features[row["image_id"]] == row for row in expected[DAY]["image_features"])
    assert peaks, "no worker was seen"
    assert max(peaks.values()) < MAX_BYTES
