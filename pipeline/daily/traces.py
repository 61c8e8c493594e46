"""Traces: everything a lake contains about one image, from its files to the classifiers trained on it."""

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any, Final

from pipeline.images.split import TRAIN

Row = dict[str, Any]

MIN_DIGITS: Final = 8  # shortest prefix of an `image_id` that a query accepts
IN_USE: Final = "in use"
CANDIDATE: Final = "candidate"
FORMER: Final = "formerly in use"
NEVER: Final = "never in use"
DELETED: Final = "deleted"


class UnknownImageError(LookupError):
    """No image, or more than one, matches a query; the message lists the closest."""


@dataclass(frozen=True)
class ImageQuery:
    """A parsed query for one image."""

    text: str  # as written
    prefix: str  # of an `image_id`; empty if the text cannot be one
    dated: tuple[tuple[date, str], ...]  # (day, path below its folder) for each day that the text contains
    paths: tuple[str, ...]  # stored paths that match: the text and its trailing parts, the longest first


@dataclass(frozen=True)
class Sighting:
    """A row that matches a query."""

    image_id: str | None  # None if the bytes of the file could not be read
    path: str
    day: date | None  # None for a labelled file


@dataclass(frozen=True)
class ClassifierTrace:
    """A classifier, and its rows about one image."""

    version: str
    state: str  # `IN_USE`, `CANDIDATE`, `FORMER`, `NEVER` or `DELETED`
    stored_at: datetime | None  # modification time of its files; None if deleted
    report: Row  # the short fields of `evaluation.json`; empty if deleted
    has_predicted: bool  # whether it made one of the image's predictions
    training_set_path: str | None  # None if unknown
    counts: list[Row] = field(default_factory=list)  # files of that training set by label and split, if it predicted
    members: list[Row] = field(default_factory=list)  # rows of that set about the image and its near-duplicates

    def rows_of(self, image_ids: Iterable[str | None]) -> list[Row]:
        """Rows of its training set about these images, without those left out of both splits."""
        wanted = set(image_ids)
        return [row for row in self.members if row["image_id"] in wanted and row["split"]]


@dataclass(frozen=True)
class Trace:
    """Everything a lake contains about an image. Rows have the columns of their tables."""

    image_id: str | None  # None if the bytes of the file could not be read
    arrivals: list[Row] = field(default_factory=list)  # from `images`
    features: list[Row] = field(default_factory=list)  # from `image_features`
    predictions: list[Row] = field(default_factory=list)
    queued: list[Row] = field(default_factory=list)  # from `review_queue`
    reviews: list[Row] = field(default_factory=list)
    labelled: list[Row] = field(default_factory=list)  # from the present `training_images`
    training_row: Row | None = None  # present label and split; None if the image is not in the training set
    near_duplicates: list[Row] = field(default_factory=list)  # direct or through others; `image_id` is the other image
    classifiers: list[ClassifierTrace] = field(default_factory=list)  # all stored ones, and deleted ones that predicted

    @property
    def near_duplicate_ids(self) -> list[str]:
        """`image_id` of each near-duplicate."""
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
            "saw_a_near_duplicate": [one.version for one in self.classifiers if one.rows_of(self.near_duplicate_ids)],
            "unknown_training_set": self.unknown,
        }
        return json.dumps(asdict(self) | derived, indent=2, default=str)


def is_image_id(text: str) -> bool:
    """Whether a text is a whole `image_id`."""
    return re.fullmatch("[0-9a-f]{64}", text) is not None


def parse_query(text: str) -> ImageQuery:
    """Parses a query: an `image_id`, at least `MIN_DIGITS` digits of one, or a path or URI, with or without a day."""
    readable = os.fsencode(text).decode("utf-8", "backslashreplace")  # how names that are not UTF-8 are stored
    parts = [part for part in readable.split("/") if part not in ("", ".")]
    ends = tuple("/".join(parts[place:]) for place in range(len(parts)))
    dated = tuple(
        (day, ends[place + 1]) for place, part in enumerate(parts[:-1]) if (day := _parse_day(part)) is not None
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


def _parse_day(text: str) -> date | None:
    """Parses YYYY-MM-DD; `date.fromisoformat` alone accepts other formats too."""
    try:
        return date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) else None
    except ValueError:
        return None
