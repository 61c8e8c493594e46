"""A small lake for the review page, with real JPEGs and tables as the assets write them, and no Spark."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

DAY, NEXT_DAY = date(2026, 11, 27), date(2026, 11, 28)
LABELS = ("apple", "pear", "<b>quince</b>")
HOSTILE = "<img src=x onerror=alert(1)>\u202e'\"=1+1.jpg"
DIMENSION = 16
TEXT, NUMBER, DATE = pa.string(), pa.float64(), pa.date32()
FEATURES = {"image_id": TEXT, "features": pa.list_(pa.float32()), "backbone": TEXT, "error": TEXT}
FILE = {"image_id": TEXT, "path": TEXT, "length": pa.int64(), "content": pa.binary()}
PREDICTED = {"day": DATE, "image_id": TEXT, "path": TEXT, "predicted_label": TEXT, "confidence": NUMBER}
SCHEMAS = {
    "images": {"day": DATE, **FILE},
    "image_features": {"day": DATE, **FEATURES},
    "predictions": {**PREDICTED, "probabilities": pa.map_(TEXT, NUMBER), "decision": TEXT, "classifier": TEXT},
    "review_queue": {**PREDICTED, "reason": TEXT, "similarity": NUMBER, "audit_weight": NUMBER, "classifier": TEXT},
    "drift": {"day": DATE, "examples": pa.list_(pa.struct({"image_id": TEXT, "day_share": NUMBER}))},
    "training_images": {"label": TEXT, **FILE},
    "training_features": FEATURES,
    "training_split": {"image_id": TEXT, "label": TEXT, "split": TEXT},
    "label_issues": {
        **{"rank": pa.int32(), "image_id": TEXT, "path": TEXT, "label": TEXT, "suggested_label": TEXT},
        **{"margin": NUMBER, "reason": TEXT},
    },
    "near_duplicates": {"image_id": TEXT, "near_duplicate_id": TEXT},
}
"""The columns that the page reads; `tests/assets/test_review_page.py` reads them from tables that assets wrote."""


class ReviewLake:
    """Ten images of a day and the others of the next, three of ten audited, and six labelled images, two doubtful."""

    def __init__(self, root: Path, make_photo: Callable[..., bytes], count: int = 20) -> None:
        self.root = root
        self.ids: dict[str, str] = {}
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SCHEMAS}
        for number in range(count):
            self._add_arrived(rows, number, make_photo(("red", "green", "blue")[number % 3], number))
        for number in range(6):
            self._add_labelled(rows, number, make_photo(("red", "green", "blue")[number % 3], 100 + number))
        rows["label_issues"] = [self._issue(0, "disagreement"), self._issue(1, "conflict"), self._issue(2, "agreement")]
        pair = (self.ids["labelled 1"], self.ids["labelled 2"])
        rows["near_duplicates"] = [dict(image_id=pair[0], near_duplicate_id=pair[1])]
        rows["drift"] = [dict(day=DAY, examples=[{"image_id": self.ids["arrived 9"], "day_share": 0.5}])]
        for name, found in rows.items():
            write(self.folder(name), name, found)

    def folder(self, table: str) -> str:
        return str(self.root / table)

    def key(self, number: int) -> str:
        """The key of an arrived image."""
        return f"{DAY if number < 10 else NEXT_DAY}/{self.ids[f'arrived {number}']}"

    def _add_arrived(self, rows: dict[str, list[dict[str, Any]]], number: int, content: bytes) -> None:
        image_id, day = self._identify(f"arrived {number}", content), DAY if number < 10 else NEXT_DAY
        path = HOSTILE if number == 4 else f"{number:02}.jpg"
        label, place = LABELS[number % 3], dict(day=day, image_id=image_id, path=path)
        shares = {each: 0.6 if each == label else 0.2 for each in LABELS}
        rows["images"].append(place | dict(length=len(content), content=content))
        rows["image_features"].append(_features(image_id, number, day=day))
        predicted = dict(predicted_label=label, confidence=0.6, classifier="v1")
        rows["predictions"].append(dict(**place, **predicted, probabilities=list(shares.items()), decision="review"))
        if number % 10 != 9:  # which is an example of drift
            weight = 3.0 if number % 10 < 3 else None
            reason = ("audit", "uncertain", "novel")[number % 3] if weight is None else "uncertain"
            reason = "uncertain" if weight is None and reason == "audit" else reason
            rows["review_queue"].append(dict(**place, **predicted, reason=reason, similarity=0.1, audit_weight=weight))

    def _add_labelled(self, rows: dict[str, list[dict[str, Any]]], number: int, content: bytes) -> None:
        image_id, label = self._identify(f"labelled {number}", content), LABELS[number % 3]
        path = f"{label}/{number}.jpg"
        rows["training_images"].append(
            dict(image_id=image_id, path=path, label=label, content=content, length=len(content))
        )
        rows["training_features"].append(_features(image_id, number))
        rows["training_split"].append(dict(image_id=image_id, label=label, split="train"))

    def _issue(self, number: int, reason: str) -> dict[str, Any]:
        label = LABELS[number]
        values = dict(rank=number + 1, image_id=self.ids[f"labelled {number}"], path=f"{label}/{number}.jpg")
        return dict(**values, label=label, suggested_label=LABELS[(number + 1) % 3], margin=-0.5, reason=reason)

    def _identify(self, name: str, content: bytes) -> str:
        self.ids[name] = hashlib.sha256(content).hexdigest()
        return self.ids[name]


def write(folder: str, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Writes rows as the table of this name."""
    days = ["day"] if "day" in SCHEMAS[table] else None
    rows = [dict.fromkeys(SCHEMAS[table]) | row for row in rows]
    write_deltalake(folder, pa.Table.from_pylist(rows, pa.schema(SCHEMAS[table])), partition_by=days, mode="append")


def _features(image_id: str, number: int, **values: Any) -> dict[str, Any]:
    vector = np.random.default_rng(number % 3).normal(size=DIMENSION) + number / 100
    return dict(image_id=image_id, features=vector.astype(np.float32).tolist(), backbone="b1", **values)
