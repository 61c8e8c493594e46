"""A red run: its last words say what failed, by how much, and the cure.

Dagster's own last words name failed checks and steps only, and repeat the stack trace of the first one.
"""

import copy
import logging
import re
from typing import Final

import dagster as dg

from resources.instance.cures import find_cure
from resources.instance.ended_runs import blocks, find_failures
from resources.instance.private import list_console_handlers

MAX_LENGTH: Final = 1000  # of the text of an error, in characters


def explain_failures(events: list[dg.DagsterEvent]) -> list[str]:
    """Explains each failed step and each failed check that stops its run, in a line that ends with the cure."""
    errors, checks = find_failures(events)
    failed = [
        f"{check.asset_key.to_user_string()}: the check {check.check_name} failed: {_shorten(check.description)}."
        f" {find_cure(check.check_name)}."
        for check in checks
        if blocks(check)
    ]
    return failed + [f"{name}: {_shorten(_strip(name, text))}. {find_cure(name)}." for name, text in errors]


def _strip(name: str, text: str) -> str:
    """Removes the class of an error, with its module, from its text."""
    return re.sub(rf"^\S*{re.escape(name)}: ", "", text)


def _shorten(text: str | None) -> str:
    """The text up to its first empty line or stack trace, as one line."""
    lines = (text or "it gave no reason").strip().splitlines()
    end = next((at for at, line in enumerate(lines) if not line.strip() or line.startswith("\tat ")), len(lines))
    return " ".join(line.strip() for line in lines[:end])[:MAX_LENGTH].rstrip(". ")


class _Short(logging.Formatter):
    """Leaves the stack trace out of a run's last event, because the failed step has shown it."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        event = getattr(record, "dagster_event", None)
        if event is not None and event.event_type == dg.DagsterEventType.RUN_FAILURE:
            record = copy.copy(record)
            record.msg = str(record.msg).partition("\n")[0]
        return self._inner.format(record)


def keep_last_words_short(log: logging.Logger) -> None:
    """Leaves the stack trace out of the last event of a run on the console."""
    for handler in list_console_handlers(log):
        if handler.formatter and not isinstance(handler.formatter, _Short):
            handler.setFormatter(_Short(handler.formatter))
