"""Forgetting an image in Dagster's instance: its contact sheets, and its id and paths in events, checks and logs.

Dagster has no API that changes an event, so its SQLite files are changed themselves. In another database the texts
stay.
"""

import json
import re
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import dagster as dg

from pipeline.reports.markdown import escape_markdown
from resources.instance.private import find_log_file, list_databases

ERASED: Final = "(erased)"
UNENDED: Final = (
    *(dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING),
    *(dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING),
)
LOCK_SECONDS: Final = 60


def list_unended(instance: dg.DagsterInstance) -> list[str]:
    """Lists the runs that wait or are in progress."""
    return list(instance.get_run_ids(dg.RunsFilter(statuses=list(UNENDED))))


def delete_sheets(instance: dg.DagsterInstance, days: Collection[str] | None) -> int:
    """Deletes the images on the pages of these days, or on all pages for None; returns their number.

    A contact sheet does not say whose tiles it has.
    """
    probe = find_log_file(instance, ["run"], "jpg")
    sheets = [] if probe is None else [*probe.parent.rglob("*.jpg")]
    shown = [sheet for sheet in sheets if days is None or sheet.parent.name in days]
    for sheet in shown:
        sheet.unlink()
    return len(shown)


def erase_texts(instance: dg.DagsterInstance, texts: Sequence[str]) -> int:
    """Erases texts, such as paths, from the files of the instance, where they are whole words; counts changed files.

    Raises:
        sqlite3.OperationalError: if another process keeps a database locked.
    """
    pattern = _make_pattern(texts)
    return sum(_erase_in(file, pattern) for file in _list_files(instance))


def _make_pattern(texts: Sequence[str]) -> re.Pattern[str]:
    """Matches a text also as Markdown, JSON, and JSON inside JSON spell it."""
    spellings = set()
    for text in texts:
        for spelling in (text, escape_markdown(text)):
            once = json.dumps(spelling)[1:-1]
            spellings |= {spelling, once, json.dumps(once)[1:-1]}
    words = "|".join(re.escape(each) for each in sorted(spellings, key=len, reverse=True))
    return re.compile(rf"(?<![\w.-])(?:{words})(?![\w-])")


def _list_files(instance: dg.DagsterInstance) -> list[Path]:
    """Databases, compute logs, and what is stored beside them, such as messages that wait."""
    log = find_log_file(instance, ["run"], "jpg")
    folders = {log.parent if log else None, Path(instance.storage_directory())} - {None}
    stored = {file for folder in folders if folder for file in folder.rglob("*") if file.is_file()}
    return sorted(stored.union(list_databases(instance)))


def _erase_in(file: Path, pattern: re.Pattern[str]) -> bool:
    if file.suffix == ".db":
        return _erase_in_database(file, pattern)
    if file.suffix in (".jpg", ".db-wal", ".db-shm"):
        return False
    content = file.read_bytes()
    erased = pattern.sub(ERASED, content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    if erased != content:
        file.write_bytes(erased)
    return erased != content


def _erase_in_database(file: Path, pattern: re.Pattern[str]) -> bool:
    with closing(sqlite3.connect(file, timeout=LOCK_SECONDS, isolation_level=None)) as database:
        database.create_function("erased", 1, lambda value: _erase_in_value(value, pattern), deterministic=True)
        changed_count = sum(_erase_in_table(database, table) for table in _list_tables(database))
        if changed_count:
            database.execute("vacuum")  # free pages have former values
            database.execute("pragma wal_checkpoint(truncate)")
    return changed_count > 0


def _list_tables(database: sqlite3.Connection) -> list[str]:
    return [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]


def _erase_in_table(database: sqlite3.Connection, table: str) -> int:
    columns = [row[1] for row in database.execute(f'pragma table_info("{table}")')]
    changed_count = 0
    for column in columns:
        update = f'update "{table}" set "{column}" = erased("{column}") where "{column}" != erased("{column}")'  # noqa: S608
        changed_count += database.execute(update).rowcount
    return changed_count


def _erase_in_value(value: Any, pattern: re.Pattern[str]) -> Any:
    return pattern.sub(ERASED, value) if isinstance(value, str) else value
