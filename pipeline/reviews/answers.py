"""Answers: what reviewers said about images on the page of `make review`, and which of it counts.

An answer is one line of a log that only grows. Of each reviewer the last answer about an image counts, so that two
reviewers never overwrite each other; an answer that settles a disagreement ends all earlier ones.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

from pipeline.images.places import clean_label

NONE: Final = "(none)"  # no label fits: the prediction is wrong, and the image is not used for training
CANNOT_TELL: Final = "(cannot tell)"  # says nothing about the image
BAD_IMAGE: Final = "(bad image)"  # not to be used, nor to be counted
MAX_LABEL: Final = 200  # characters
MAX_NAME: Final = 80  # characters of a reviewer's name
MAX_LINE: Final = 4_096  # bytes of an answer


class AnswerError(ValueError):
    """An answer that cannot be used; the message names the cure."""


class Key(NamedTuple):
    """What an answer is about: an image of a day, or a labelled image, which has no day."""

    day: date | None
    image_id: str

    def __str__(self) -> str:
        """`<day>/<image_id>` or `labelled/<image_id>`."""
        return f"{self.day or 'labelled'}/{self.image_id}"


@dataclass(frozen=True)
class Answer:
    """What a reviewer said about an image.

    Attributes:
        key: the image.
        label: the label, `NONE`, `CANNOT_TELL` or `BAD_IMAGE`; None takes an earlier answer back.
        reviewer: name of the person, as typed.
        at: when, in UTC.
        batch: id of the action, shared by all images that were answered at once.
        predicted_label: prediction when the answer was given; None for a labelled image.
        classifier: its classifier.
        settles: whether it ends a disagreement, so that earlier answers no longer count.
    """

    key: Key
    label: str | None
    reviewer: str
    at: datetime
    batch: str
    predicted_label: str | None = None
    classifier: str | None = None
    settles: bool = False

    def to_line(self) -> bytes:
        """Writes a line of the log, with its end."""
        day, image_id = self.key
        fields: dict[str, object] = {
            "day": day and str(day),
            "image_id": image_id,
            "label": self.label,
            "reviewer": self.reviewer,
        }
        fields |= {"at": self.at.isoformat(), "batch": self.batch, "predicted_label": self.predicted_label}
        fields |= {"classifier": self.classifier, "settles": self.settles}
        return json.dumps(fields).encode() + b"\n"


def parse_key(text: str) -> Key:
    """Parses the text of a key.

    Raises:
        AnswerError: if it is not `<day>/<image_id>` or `labelled/<image_id>`.
    """
    found = re.fullmatch(r"(labelled|\d{4}-\d\d-\d\d)/([0-9a-f]{64})", text, re.ASCII)
    if not found:
        raise AnswerError(f"{text[:100]!r} is no image: write its day, or labelled, and its image_id")
    try:
        return Key(None if found[1] == "labelled" else date.fromisoformat(found[1]), found[2])
    except ValueError:
        raise AnswerError(f"{found[1]} is no day") from None


def parse_label(text: str) -> str:
    """Cleans a label that a person typed.

    Raises:
        AnswerError: if it is empty, too long or has unprintable characters.
    """
    label = clean_label(text)
    if not label:
        raise AnswerError("the label is empty: choose or type one")
    if not label.isprintable() or len(label) > MAX_LABEL:
        raise AnswerError(f"a label has at most {MAX_LABEL} printable characters")
    return label


def parse_name(text: str) -> str:
    """Cleans the name of a reviewer.

    Raises:
        AnswerError: if it is empty, too long or has unprintable characters.
    """
    name = clean_label(text)
    if not name or not name.isprintable() or len(name) > MAX_NAME:
        raise AnswerError(f"type your name, of at most {MAX_NAME} printable characters")
    return name


def parse_lines(content: bytes) -> Iterator[Answer]:
    """Parses a log; blank lines were erased.

    What follows the last line end was cut off while it was written, so its storage was never confirmed.

    Raises:
        AnswerError: if a complete line is not an answer.
    """
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        if line.isspace():
            continue
        try:
            fields = json.loads(line)
            day = fields["day"] and date.fromisoformat(fields["day"])
            yield Answer(
                Key(day or None, fields["image_id"]),
                fields["label"],
                fields["reviewer"],
                datetime.fromisoformat(fields["at"]).astimezone(UTC),
                fields["batch"],
                fields["predicted_label"],
                fields["classifier"],
                fields["settles"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise AnswerError(f"line {number} is no answer ({error}): restore the file or move it away") from error


class AnswerBook:
    """All answers in order, and those that count."""

    def __init__(self, answers: Iterable[Answer] = ()) -> None:
        """Adds answers, in the order in which they were given."""
        self._standing: defaultdict[Key, dict[str, Answer]] = defaultdict(dict)
        self._batches: defaultdict[str, list[list[tuple[Answer | None, Answer]]]] = defaultdict(list)
        self.add(answers)

    def add(self, answers: Iterable[Answer]) -> None:
        """Adds answers; those of one action are undone together."""
        for answer in answers:
            standing = self._standing[answer.key]
            if answer.settles:
                standing.clear()  # settled again, never undone
            else:
                self._remember(standing.get(answer.reviewer), answer)
            standing.pop(answer.reviewer, None)
            if answer.label is not None:
                standing[answer.reviewer] = answer

    def _remember(self, before: Answer | None, answer: Answer) -> None:
        batches = self._batches[answer.reviewer]
        if batches and batches[-1][0][1].batch == answer.batch:
            batches[-1].append((before, answer))
        else:
            batches.append([(before, answer)])

    def of(self, key: Key) -> Mapping[str, Answer]:
        """The answers about an image that count, by reviewer."""
        return self._standing.get(key, {})

    def keys(self) -> KeysView[Key]:
        """Images that anybody ever answered."""
        return self._standing.keys()

    def standing(self) -> list[Answer]:
        """All answers that count."""
        return [answer for answers in self._standing.values() for answer in answers.values()]

    def disagreements(self) -> dict[str, list[Answer]]:
        """The answers about each image on which reviewers differ, by `image_id`."""
        by_image: defaultdict[str, list[Answer]] = defaultdict(list)
        for answer in self.standing():
            if answer.label != CANNOT_TELL:
                by_image[answer.key.image_id].append(answer)
        return {image: given for image, given in by_image.items() if len({answer.label for answer in given}) > 1}

    def undo(self, reviewer: str, at: datetime, batch: str) -> list[Answer]:
        """Answers that take back the last action of a reviewer; none if there is nothing left to undo.

        They carry the action's own id behind `undo of`, and are added like all others.
        """
        undone = 0
        for changes in reversed(self._batches.get(reviewer, [])):
            if changes[0][1].batch.startswith("undo"):
                undone += 1
            elif undone:
                undone -= 1
            else:
                return [_revert(before, given, at, f"undo {batch}") for before, given in changes]
        return []


def _revert(before: Answer | None, given: Answer, at: datetime, batch: str) -> Answer:
    former = before or replace(given, label=None, settles=False)
    return replace(former, at=at, batch=batch)
