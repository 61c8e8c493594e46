"""One message: what happened, when, to which day, the cure and the links."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from resources.notify.plain_text import clean

ID_DIGITS: Final = 32
TITLE_CHARACTERS: Final = 150


class Kind(StrEnum):
    """What a message is about."""

    RED_RUN = "red_run"
    FAILED_CHECK = "failed_check"
    MISSING_DAY = "missing_day"
    UNANSWERED_REVIEWS = "unanswered_reviews"
    REFUSED_CANDIDATE = "refused_candidate"


@dataclass(frozen=True)
class Message:
    """A message of plain text.

    Attributes:
        id: the same for the same event, however often it is found; receivers drop repeats by it.
        kind: one of `Kind`.
        title: what happened, in a few words.
        what: the reason, with its numbers.
        when: ISO 8601, with the offset from UTC.
        day: the day or the range of days; empty if there is none.
        cure: what to do.
        page: URL in Dagster's UI.
        report: path or URI of the day's report; empty if there is none.
    """

    id: str
    kind: str
    title: str
    what: str
    when: str
    day: str
    cure: str
    page: str
    report: str

    def to_json(self) -> str:
        """Formats the message as a JSON object."""
        return json.dumps(asdict(self), ensure_ascii=False)


def make_message(
    kind: Kind,
    subject: tuple[str, ...],
    *,
    title: str,
    what: str,
    when: datetime,
    cure: str,
    page: str,
    day: str = "",
    report: str = "",
) -> Message:
    """Makes a message of cleaned text, whose id depends on its kind and its subject alone."""
    digest = hashlib.sha256(json.dumps([kind, *subject]).encode()).hexdigest()[:ID_DIGITS]
    texts = {"title": clean(title, TITLE_CHARACTERS), "what": clean(what), "cure": clean(cure), "day": clean(day)}
    return Message(digest, str(kind), when=when.isoformat(timespec="seconds"), page=page, report=report, **texts)
