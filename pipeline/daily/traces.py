"""Traces: everything a lake contains about one image, from its files to the classifiers trained on it.

`resources/image_traces.py` reads traces, `trace_text.py` formats them.
"""

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any, Final

from pipeline.images.split import TRAIN

Row = dict[str, Any]

MIN_DIGITS: Final = 8
"""Shortest prefix of an `image_id` that a query accepts."""

IN_USE: Final = "in use"
CANDIDATE: Final = "candidate"
FORMER: Final = "formerly in use"
NEVER: Final = "never in use"
DELETED: Final = "deleted"


class UnknownImageError(LookupError):
    """No image, or more than one, matches a query; the message lists the closest."""


@dataclass(frozen=True)
class ImageQuery:
    """A parsed query for one image.

    Attributes:
        text: the query as written.
        prefix: prefix of an `image_id`; empty if the text cannot be one.
        dated: (day, path below its folder) for each day that the text contains.
        paths: stored paths that match: the text and its trailing parts, the longest first.
    """

    text: str
    prefix: str
    dated: tuple[tuple[date, str], ...]
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Sighting:
    """A row that matches a query.

    Attributes:
        image_id: None if the bytes of the file could not be read.
        path: path as stored.
        day: day of arrival; None for a labelled file.
    """

    image_id: str | None
    path: str
    day: date | None


@dataclass(frozen=True)
class ClassifierTrace:
    """A classifier, and its rows about one image.

    Attributes:
        version: version of the classifier.
        state: `IN_USE`, `CANDIDATE`, `FORMER`, `NEVER` or `DELETED`.
        stored_at: modification time of its files; None if deleted.
        report: the short fields of `evaluation.json`; empty if deleted.
        has_predicted: whether it made one of the image's predictions.
        training_set_path: location of its training set; None if unknown.
        counts: files of that training set by label and split, if the classifier made a prediction.
        members: rows of that training set about the image and its near-duplicates.
    """

    version: str
    state: str
    stored_at: datetime | None
    report: Row
    has_predicted: bool
    training_set_path: str | None
    counts: list[Row] = field(default_factory=list)
    members: list[Row] = field(default_factory=list)

    def rows_of(self, image_ids: Iterable[str | None]) -> list[Row]:
        """Rows of its training set about these images, without those left out of both splits."""
        wanted = set(image_ids)
        return [row for row in self.members if row["image_id"] in wanted and row["split"]]


@dataclass(frozen=True)
class Trace:
    """Everything a lake contains about an image. Rows have the columns of their tables.

    Attributes:
        image_id: None if the bytes of the file could not be read.
        arrivals: rows of `images`.
        features: rows of `image_features`.
        predictions: rows of `predictions`.
        queued: rows of `review_queue`.
        reviews: rows of `reviews`.
        labelled: present rows of `training_images`.
        training_row: present label and split in the training set; None if the image is not in it.
        near_duplicates: rows of near-duplicates, direct or through others; `image_id` is the other image.
        classifiers: all stored classifiers, and the deleted ones that made a prediction.
    """

    image_id: str | None
    arrivals: list[Row] = field(default_factory=list)
    features: list[Row] = field(default_factory=list)
    predictions: list[Row] = field(default_factory=list)
    queued: list[Row] = field(default_factory=list)
    reviews: list[Row] = field(default_factory=list)
    labelled: list[Row] = field(default_factory=list)
    training_row: Row | None = None
    near_duplicates: list[Row] = field(default_factory=list)
    classifiers: list[ClassifierTrace] = field(default_factory=list)

    @property
    def near_duplicate_ids(self) -> list[str]:
        """Ids of the near-duplicates."""
        return [row["image_id"] for row in self.near_duplicates]

    @property
    def seen_by(self) -> list[ClassifierTrace]:
        """Classifiers with the image in their training or holdout split."""
        return [each for each in self.classifiers if each.rows_of([self.image_id])]

    @property
    def unknown(self) -> list[str]:
        """Versions of the classifiers whose training set is unknown."""
        return [each.version for each in self.classifiers if each.training_set_path is None]

    def to_json(self) -> str:
        """Formats the trace as JSON, with the classifiers trained and evaluated on the image."""
        splits = {each.version: {row["split"] for row in each.rows_of([self.image_id])} for each in self.classifiers}
        derived = {
            "trained_on_it": [version for version, found in splits.items() if TRAIN in found],
            "evaluated_on_it": [version for version, found in splits.items() if found - {TRAIN}],
            "saw_a_near_duplicate": [
                each.version for each in self.classifiers if each.rows_of(self.near_duplicate_ids)
            ],
            "unknown_training_set": self.unknown,
        }
        return json.dumps(asdict(self) | derived, indent=2, default=str)


def parse_query(text: str) -> ImageQuery:
    """Parses a query: an `image_id`, at least `MIN_DIGITS` digits of one, or a path.

    The path may be a URI or a local path, and may contain the day.
    """
    readable = os.fsencode(text).decode("utf-8", "backslashreplace")  # how names that are not UTF-8 are stored
    parts = [part for part in readable.split("/") if part not in ("", ".")]
    ends = tuple("/".join(parts[place:]) for place in range(len(parts)))
    dated = tuple(
        (date.fromisoformat(part), ends[place + 1])
        for place, part in enumerate(parts[:-1])
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", part, re.ASCII) and _is_day(part)
    )
    digits = readable.strip().lower()
    is_digest = re.fullmatch(f"[0-9a-f]{{{MIN_DIGITS},64}}", digits, re.ASCII)
    return ImageQuery(text, digits if is_digest else "", dated, tuple(dict.fromkeys([readable, *ends])))


def choose_image(query: ImageQuery, sightings: Sequence[Sighting]) -> Sighting:
    """Chooses the one image that a query names; a matching day counts first, then the longest matching path.

    Raises:
        UnknownImageError: if no image matches, or several match equally well.
    """
    if not sightings:
        raise UnknownImageError(f"this lake has no image {query.text!r}")
    ranks = [_rank(query, each) for each in sightings]
    best = [each for each, rank in zip(sightings, ranks, strict=True) if rank == max(ranks)]
    images = {each.image_id or (each.day, each.path): each for each in best}
    if len(images) > 1:
        found = "\n".join(format_sighting(each) for each in list(images.values())[:10])
        raise UnknownImageError(
            f"{query.text!r} matches {len(images)} images: put the day before the path, as in 2026-11-22/a.jpg,"
            f" or use the image_id\n{found}"
        )
    return next(iter(images.values()))


def format_sighting(sighting: Sighting) -> str:
    """Formats a sighting as one line."""
    place = f"{sighting.day}/{sighting.path}" if sighting.day else sighting.path
    return f"  {(sighting.image_id or 'unreadable')[:16]:16}  {place!r}"


def _rank(query: ImageQuery, sighting: Sighting) -> tuple[bool, int]:
    if query.prefix and (sighting.image_id or "").startswith(query.prefix):
        return True, 0
    return (sighting.day, sighting.path) in query.dated, len(sighting.path)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
