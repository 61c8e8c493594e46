"""A growing day: only what is new is added, and what no longer holds is stored again."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from pipeline.embed.file_kinds import DECODER
from pipeline.embed.reasons import CHANGED, NOT_AN_IMAGE, TOO_MANY_BYTES
from pipeline.images.growing_day import select_new_files, select_new_images
from pipeline.images.sidecar_files import SIDECAR

NINE, TEN = (datetime(2026, 11, 30, hour, tzinfo=UTC) for hour in (9, 10))


def list_files(**times: datetime) -> pa.Table:
    names = list(times)
    columns = {"path": names, "length": pa.array([7] * len(names)), "modified_at": pa.array(times.values())}
    return pa.table(columns)


def store(listed: pa.Table, *errors: str | None) -> pa.Table:
    return listed.append_column("read_error", pa.array(errors or [None] * listed.num_rows, pa.string()))


def test_only_files_without_a_row_are_new() -> None:
    stored = store(list_files(a=NINE, b=NINE), SIDECAR, TOO_MANY_BYTES)
    new = select_new_files(list_files(a=NINE, b=NINE, c=TEN), stored)
    assert new is not None
    assert new["path"].to_pylist() == ["c"]
    unchanged = select_new_files(list_files(a=NINE, b=NINE), stored)
    assert unchanged is not None
    assert unchanged.num_rows == 0


@pytest.mark.parametrize(
    ("listed", "error"),
    [(list_files(a=TEN, b=NINE), None), (list_files(b=NINE), None), (list_files(a=NINE, b=NINE), CHANGED)],
    ids=["changed", "gone", "was still arriving"],
)
def test_a_file_that_changed_is_gone_or_could_not_be_read_has_the_whole_day_stored_again(
    listed: pa.Table, error: str | None
) -> None:
    assert select_new_files(listed, store(list_files(a=NINE, b=NINE), error, None)) is None


def features(*errors: str | None, backbone: str = "new", decoder: str | None = DECODER) -> pa.Table:
    ids = ["a", "b", "c"][: len(errors)]
    texts = {"backbone": [backbone] * len(ids), "decoder": [decoder] * len(ids), "error": errors}
    return pa.table({"image_id": ids} | {name: pa.array(values, pa.string()) for name, values in texts.items()})


def test_only_images_without_features_are_new() -> None:
    ids = pa.chunked_array([["c", "a", None, "a", "b"]])
    assert select_new_images(ids, features(None, NOT_AN_IMAGE), "new") == ["c"]
    assert select_new_images(ids, features(None, None, None), "new") == []
    assert select_new_images(ids, features(), "new") == ["a", "b", "c"]


@pytest.mark.parametrize(
    "stored",
    [
        features(None, backbone="former"),
        features(None, decoder=None),
        features("timed out"),
        features(None, None, None),
    ],
    ids=["another backbone", "another decoder", "a reason that may pass", "an image that is gone"],
)
def test_features_that_no_longer_hold_are_all_stored_again(stored: pa.Table) -> None:
    assert select_new_images(pa.chunked_array([["a", "b"]]), stored, "new") is None
