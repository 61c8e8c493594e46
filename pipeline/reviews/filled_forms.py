"""Filled review forms: CSV files saved by any spreadsheet, parsed on the driver without the lake.

An unreadable file is an error, never an empty form.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final

import pyarrow as pa
from pyarrow import fs

from pipeline.images.places import clean_label
from pipeline.images.sidecar_files import is_sidecar
from pipeline.reviews.answers import MAX_LABEL
from pipeline.reviews.review_form import unguard
from pipeline.storage.files import list_files, open_folder
from pipeline.storage.text_tables import TextTableError, read_text_table, strip_cell

COLUMNS: Final = pa.schema(
    {
        "file": pa.string(),
        "line": pa.int64(),
        "days": pa.list_(pa.date32()),  # every reading of the date, which a spreadsheet may have reformatted; or null
        "image_id": pa.string(),
        "label": pa.string(),
        "form_label": pa.string(),
        "form_classifier": pa.string(),
        "reviewer": pa.string(),  # null in a form
        "answered_at": pa.timestamp("us", tz="UTC"),  # null in a form
    }
)
"""Columns of an answered line."""

REQUIRED: Final = ("day", "image_id", "label")
OPTIONAL: Final = ("predicted_label", "classifier")
MAX_BYTES: Final = 8 * 2**20  # of a form; one of `FORM_ROWS` images has about half a megabyte
DAY_PATTERNS: Final = (
    *("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y"),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y"),
)


class ReviewError(ValueError):
    """A form that cannot be read; the message names the file, the line and the cure."""


@dataclass(frozen=True)
class FilledForms:
    """Contents of the folder of filled forms."""

    answers: pa.Table  # lines with a label, in `COLUMNS`
    file_count: int
    ignored: list[str]  # paths of other files, except hidden ones and sidecar files

    @property
    def days(self) -> list[str]:
        """Every day that an answer may refer to, sorted."""
        return sorted({str(day) for days in self.answers["days"].to_pylist() for day in days if day})

    def with_more(self, answers: pa.Table) -> "FilledForms":
        """Adds answers from elsewhere, in `COLUMNS`."""
        return replace(self, answers=pa.concat_tables([self.answers, answers]))


NO_FORMS: Final = FilledForms(COLUMNS.empty_table(), 0, [])


def read_forms(folder: str) -> FilledForms:
    """Reads every `.csv` file below a folder; the driver holds about 300 bytes per answer.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ReviewError: if a file or a line is invalid.
    """
    filesystem, _ = open_folder(folder)
    listed = list_files(folder).to_pylist()
    hidden = [is_sidecar(file["path"], b"") or _name(file).startswith((".", "~")) for file in listed]
    shown = [file for file, is_hidden in zip(listed, hidden, strict=True) if not is_hidden]
    forms = [file for file in shown if file["path"].lower().endswith(".csv")]
    rows = [row for file in forms for row in parse_form(file["path"], _read(filesystem, file))]
    ignored = [file["path"] for file in shown if file not in forms]
    return FilledForms(pa.Table.from_pylist(rows, COLUMNS), len(forms), ignored)


def parse_form(name: str, content: bytes) -> Iterator[dict[str, object]]:
    """Parses the answers of a form as rows of `COLUMNS`.

    Raises:
        ReviewError: if the form is not CSV or lacks a column, or if a line lacks a valid image or day.
    """
    try:
        for number, cell in read_text_table(name, content, REQUIRED, OPTIONAL):
            if label := clean_label(unguard(strip_cell(cell["label"]))):
                yield _answer(f"{name}, line {number},", label, cell) | {"file": name, "line": number}
    except TextTableError as error:
        raise ReviewError(str(error)) from error


def _answer(place: str, label: str, cell: Mapping[str, str]) -> dict[str, object]:
    image_id = strip_cell(cell["image_id"]).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", image_id):
        raise ReviewError(f"{place} has an image_id that is not a SHA-256 of 64 digits: copy it from the day's form")
    if not label.isprintable() or len(label) > MAX_LABEL:
        raise ReviewError(f"{place} has a label with unprintable characters or of more than {MAX_LABEL} characters")
    days = _days(strip_cell(cell["day"]))
    if not days:
        raise ReviewError(f"{place} has the day {cell['day'][:40]!r}: write it as 2026-11-22")
    form_label, form_classifier = (unguard(cell.get(name, "")) or None for name in ("predicted_label", "classifier"))
    return dict(days=days, image_id=image_id, label=label, form_label=form_label, form_classifier=form_classifier)


def _days(text: str) -> list[date]:
    found = set()
    for pattern in DAY_PATTERNS:
        try:
            found.add(datetime.strptime(text, pattern).replace(tzinfo=UTC).date())
        except ValueError:
            continue
    return sorted(found)


def _name(file: Mapping[str, str]) -> str:
    return file["path"].rpartition("/")[2]


def _read(filesystem: fs.FileSystem, file: Mapping[str, object]) -> bytes:
    with filesystem.open_input_stream(file["location"]) as stream:
        content = bytes(stream.read(MAX_BYTES + 1))
    if len(content) > MAX_BYTES:
        raise ReviewError(f"{file['path']} is larger than {MAX_BYTES} bytes: split it or remove it")
    return content
