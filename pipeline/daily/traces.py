"""Traces: all that a lake knows of one picture, from the files it came in to the classifiers that learned from it.

Plain values. Where they are read is `resources/lake/image_traces.py`, how they are told in words `trace_text.py`.
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

LEAST_DIGITS: Final = 8
"""Of an `image_id` that is cut off."""

IN_USE: Final = "in use"
CANDIDATE: Final = "candidate"
FORMER: Final = "formerly in use"
NEVER: Final = "never in use"
GONE: Final = "no longer stored"


class UnknownImageError(LookupError):
    """No picture, or several; the text says which ones come near."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for.

    Attributes:
        text: as it was written.
        prefix: of an `image_id`; empty where it cannot be one.
        dated: paths below the folder of a day, with the day, if the text names one.
        paths: that a stored path may be: the text and its ends, the longest first.
    """

    text: str
    prefix: str
    dated: tuple[tuple[date, str], ...]
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Sighting:
    """A place where a wanted picture was found.

    Attributes:
        image_id: None of a file whose bytes could not be read.
        path: as it is stored.
        day: on which it arrived; None of a labelled file.
    """

    image_id: str | None
    path: str
    day: date | None


@dataclass(frozen=True)
class ClassifierTrace:
    """What is known of a stored classifier, and of one picture in it.

    Attributes:
        version: of the classifier.
        state: `IN_USE`, `CANDIDATE`, `FORMER`, `NEVER` or `GONE`.
        stored_at: when its files were last written; None where it is gone.
        report: from `evaluation.json`, without what is long; empty where it is gone.
        has_answered: whether one of the picture's answers is its.
        list_place: where the list of its training files lies; None where that is not known.
        counts: of that list, by label and split; of one that answered alone.
        members: rows of that list about the picture and its twins.
    """

    version: str
    state: str
    stored_at: datetime | None
    report: Row
    has_answered: bool
    list_place: str | None
    counts: list[Row] = field(default_factory=list)
    members: list[Row] = field(default_factory=list)

    def saw(self, image_ids: Iterable[str | None]) -> list[Row]:
        """The rows of its training set about one of these pictures, those that were left out not among them."""
        wanted = set(image_ids)
        return [row for row in self.members if row["image_id"] in wanted and row["split"]]


@dataclass(frozen=True)
class Trace:
    """All that is known of a picture; rows are those of the tables, in their columns.

    Attributes:
        image_id: None of a file whose bytes could not be read.
        arrivals: of `images`.
        features: of `image_features`.
        answers: of `predictions`.
        queued: of `review_queue`.
        reviews: of `reviews`.
        labelled: of `training_images`, as it is now.
        side: of `training_features`, as it is now; None where the picture is not there.
        twins: of `training_twins`, with those that hang on them; each the other picture.
        classifiers: all that are stored, and those that answered.
    """

    image_id: str | None
    arrivals: list[Row] = field(default_factory=list)
    features: list[Row] = field(default_factory=list)
    answers: list[Row] = field(default_factory=list)
    queued: list[Row] = field(default_factory=list)
    reviews: list[Row] = field(default_factory=list)
    labelled: list[Row] = field(default_factory=list)
    side: Row | None = None
    twins: list[Row] = field(default_factory=list)
    classifiers: list[ClassifierTrace] = field(default_factory=list)

    @property
    def twin_ids(self) -> list[str]:
        """Of the other pictures."""
        return [row["image_id"] for row in self.twins]

    @property
    def learned(self) -> list[ClassifierTrace]:
        """The classifiers whose training set, train side or holdout, holds the picture."""
        return [each for each in self.classifiers if each.saw([self.image_id])]

    @property
    def unknown(self) -> list[str]:
        """Versions of which nobody knows what they learned from."""
        return [each.version for each in self.classifiers if each.list_place is None]

    def to_json(self) -> str:
        """The same for scripts, with what follows from it: `learned_from_it`, `judged_on_it`, `not_known`."""
        sides = {each.version: {row["split"] for row in each.saw([self.image_id])} for each in self.classifiers}
        told = {
            "learned_from_it": [version for version, found in sides.items() if TRAIN in found],
            "judged_on_it": [version for version, found in sides.items() if found - {TRAIN}],
            "saw_a_twin": [each.version for each in self.classifiers if each.saw(self.twin_ids)],
            "not_known": self.unknown,
        }
        return json.dumps(asdict(self) | told, indent=2, default=str)


def parse_wanted(text: str) -> Wanted:
    """Tells what a text may name: an `image_id` or the first eight digits of one at least, or a path or its end.

    A path of an object store or of this machine will do, and one that begins with a day.
    """
    readable = os.fsencode(text).decode("utf-8", "backslashreplace")  # as names that are not UTF-8 are stored
    parts = [part for part in readable.split("/") if part not in ("", ".")]
    ends = tuple("/".join(parts[place:]) for place in range(len(parts)))
    dated = tuple(
        (date.fromisoformat(part), ends[place + 1])
        for place, part in enumerate(parts[:-1])
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", part, re.ASCII) and _is_day(part)
    )
    digits = readable.strip().lower()
    is_digest = re.fullmatch(f"[0-9a-f]{{{LEAST_DIGITS},64}}", digits, re.ASCII)
    return Wanted(text, digits if is_digest else "", dated, tuple(dict.fromkeys([readable, *ends])))


def choose_image(wanted: Wanted, sightings: Sequence[Sighting]) -> Sighting:
    """The one picture that was meant: the day that was named counts first, then the longest of the paths that fit.

    Raises:
        UnknownImageError: where there is none, or several are left.
    """
    if not sightings:
        raise UnknownImageError(f"this lake has no image {wanted.text!r}")
    ranks = [_rank(wanted, each) for each in sightings]
    fitting = [each for each, rank in zip(sightings, ranks, strict=True) if rank == max(ranks)]
    pictures = {each.image_id or (each.day, each.path): each for each in fitting}
    if len(pictures) > 1:
        found = "\n".join(format_sighting(each) for each in list(pictures.values())[:10])
        raise UnknownImageError(
            f"{wanted.text!r} names {len(pictures)} pictures: say the day before the path, as in 2026-11-22/a.jpg,"
            f" or the image_id\n{found}"
        )
    return next(iter(pictures.values()))


def format_sighting(sighting: Sighting) -> str:
    """A line for one place."""
    where = f"{sighting.day}/{sighting.path}" if sighting.day else sighting.path
    return f"  {(sighting.image_id or 'unreadable')[:16]:16}  {where!r}"


def _rank(wanted: Wanted, sighting: Sighting) -> tuple[bool, int]:
    if wanted.prefix and (sighting.image_id or "").startswith(wanted.prefix):
        return True, 0
    return (sighting.day, sighting.path) in wanted.dated, len(sighting.path)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
