"""The outbox: a folder with one file per message, which survives every process.

A file appears and changes whole. Messages are tried with a back-off until they are delivered or given up; their ids
are remembered for months, so that nothing is enqueued twice.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

from resources.notify.message import Message

WAITING: Final = "waiting"
DELIVERED: Final = "delivered"
UNDELIVERED: Final = "undelivered"
ATTEMPTS: Final = 80  # about three days
FIRST_WAIT: Final = timedelta(minutes=1)
MAX_WAIT: Final = timedelta(hours=1)
KEPT: Final = timedelta(days=90)


@dataclass(frozen=True)
class Parcel:
    """A message and the state of its delivery.

    Attributes:
        message: what is delivered.
        state: WAITING, DELIVERED or UNDELIVERED.
        attempts: number of failed attempts.
        due: time of the next attempt, or of the end.
        reason: why the last attempt failed; empty if none did.
    """

    message: Message
    state: str
    attempts: int
    due: datetime
    reason: str


@dataclass(frozen=True)
class Outbox:
    """The parcels in a folder."""

    folder: Path

    def put(self, message: Message, now: datetime) -> bool:
        """Enqueues a message unless its id is known; returns whether it was new."""
        file = self._file(message.id)
        if file.exists():
            return False
        draft = self._write_draft(Parcel(message, WAITING, 0, now, ""))
        try:
            os.link(draft, file)  # fails if another process was faster
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        return True

    def list_parcels(self, state: str) -> list[Parcel]:
        """Lists the parcels in this state, the longest due first; files that are not parcels are skipped."""
        return sorted((each for each in self._read_all() if each.state == state), key=lambda each: each.due)

    def list_due(self, now: datetime) -> list[Parcel]:
        """Lists the waiting parcels whose time has come, also if the clock was set back since."""
        return [each for each in self.list_parcels(WAITING) if each.due <= now or each.due > now + MAX_WAIT]

    def record(self, parcel: Parcel, failure: str | None, now: datetime) -> Parcel:
        """Records the outcome of an attempt: None is a success."""
        if failure is None:
            after = replace(parcel, state=DELIVERED, due=now)
        else:
            attempts = parcel.attempts + 1
            state = WAITING if attempts < ATTEMPTS else UNDELIVERED
            due = now + min(FIRST_WAIT * 2 ** min(parcel.attempts, 16), MAX_WAIT) if state == WAITING else now
            after = replace(parcel, state=state, attempts=attempts, due=due, reason=failure)
        os.replace(self._write_draft(after), self._file(parcel.message.id))
        return after

    def forget(self, now: datetime) -> None:
        """Deletes what ended long ago, and drafts of killed processes."""
        for parcel in self._read_all():
            if parcel.state != WAITING and parcel.due < now - KEPT:
                self._file(parcel.message.id).unlink(missing_ok=True)
        for draft in self.folder.glob(".*.draft"):
            with suppress(FileNotFoundError):
                if datetime.fromtimestamp(draft.stat().st_mtime, UTC) < now - timedelta(days=1):
                    draft.unlink()

    def _file(self, message_id: str) -> Path:
        return self.folder / f"{message_id}.json"

    def _write_draft(self, parcel: Parcel) -> Path:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.folder / f".{uuid4().hex}.draft"
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(parcel) | {"due": parcel.due.isoformat()}, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        return draft

    def _read_all(self) -> Iterator[Parcel]:
        for file in self.folder.glob("*.json"):
            with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
                fields = json.loads(file.read_text(encoding="utf-8"))
                message, due = Message(**fields.pop("message")), datetime.fromisoformat(fields.pop("due"))
                yield Parcel(message=message, due=due, **fields)
