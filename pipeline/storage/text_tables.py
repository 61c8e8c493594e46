"""Text tables: CSV files as spreadsheets save them, in any of their encodings, delimiters and spellings of the header.

A file that cannot be read as meant is an error, never a table with wrong cells. Columns have no meaning here.
"""

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

DELIMITERS: Final = ",;\t"
INVISIBLE: Final = "\ufeff\u200b\u200e\u200f\u2060"  # marks that a copied cell may begin or end with
SAVE_AS: Final = "save it from the spreadsheet as CSV UTF-8"
_AROUND: Final = re.compile(rf"\A[\s{INVISIBLE}]+|[\s{INVISIBLE}]+\Z")
_BLANK_LINES: Final = re.compile(r"(?:[ \t\xa0]*(?:\r\n|\r|\n))*")
_SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?[,;\t]*(?:\r\n|\r|\n)', re.IGNORECASE)  # for Excel


class TextTableError(ValueError):
    """A text table that cannot be read; the message names the file, the line and the cure."""


class Line(NamedTuple):
    """A line of a table: its number, from 1, and its cells by column, in lower case."""

    number: int
    cells: dict[str, str]


def read_text_table(name: str, content: bytes, required: Collection[str], optional: Collection[str]) -> Iterator[Line]:
    """Reads the lines below the header, but for blank ones.

    Args:
        name: name of the file in messages.
        content: bytes of the file: UTF-8, or UTF-16 with or without a byte order mark.
        required: columns that it must have exactly once, in lower case.
        optional: columns that it may have once; all others are ignored.

    Raises:
        TextTableError: if it is not CSV, lacks a column, has one twice, or has a line longer than the header.
    """
    text = decode_text(name, content)
    start = _BLANK_LINES.match(text)
    skipped = start.group() if start else ""
    text, delimiters = text[len(skipped) :], DELIMITERS
    if separator := _SEPARATOR_LINE.match(text):
        skipped, text, delimiters = skipped + separator.group(), text[separator.end() :], separator[1]
    offset = len(re.findall(r"\r\n|\r|\n", skipped))
    header, delimiter = _read_header(name, text, delimiters, required)
    wanted = {*required, *optional}
    if repeated := sorted({column for column in header if header.count(column) > 1} & wanted):
        raise TextTableError(f"{name} has the column {repeated[0]} {header.count(repeated[0])} times: delete one")
    if missing := [column for column in required if column not in header]:
        *first, last = required
        found = ", ".join(filter(None, header)) or "no columns"
        needed = f"{', '.join(first)} and {last}"
        raise TextTableError(f"{name} needs the columns {needed}, but has {found}: add {', '.join(missing)}")
    places = {column: place for place, column in enumerate(header) if column in wanted}
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        next(reader)
        for cells in reader:
            number = offset + reader.line_num
            if any(cell.strip() for cell in cells[len(header) :]):
                raise TextTableError(
                    f"{name}, line {number}, has more cells than the header: put quotes around a cell that contains"
                    f" {delimiter!r}, or {SAVE_AS}"
                )
            if any(cell.strip() for cell in cells):
                cells += [""] * (len(header) - len(cells))
                yield Line(number, {column: cells[place] for column, place in places.items()})
    except csv.Error as error:
        raise TextTableError(f"{name}, line {offset + reader.line_num}, is not CSV ({error}): {SAVE_AS}") from error


def decode_text(name: str, content: bytes) -> str:
    """Decodes UTF-8 or UTF-16; code pages are refused, since a wrong guess would spell labels wrong.

    Raises:
        TextTableError: if it is neither.
    """
    encoding = "utf-8-sig"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif len(content) > 1 and (content[0] == 0) != (content[1] == 0):  # the first character is in ASCII
        encoding = "utf-16-be" if content[0] == 0 else "utf-16-le"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        kind = "UTF-16" if encoding != "utf-8-sig" else "UTF-8"
        raise TextTableError(f"{name}, line {line}, is not {kind} (byte {error.start}): {SAVE_AS}") from error
    if "\0" in text:
        raise TextTableError(f"{name} is not a text file: {SAVE_AS}")
    return text


def strip_cell(cell: str) -> str:
    """Removes spaces and invisible marks around a cell."""
    return _AROUND.sub("", cell)


def _read_header(name: str, text: str, delimiters: str, required: Collection[str]) -> tuple[list[str], str]:
    """Splits the first line at the delimiter that finds the most required columns, or else the most cells."""
    found = []
    for delimiter in delimiters:
        try:
            cells = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), [])
        except csv.Error:
            continue
        found.append(([strip_cell(cell).lower() for cell in cells], delimiter))
    if not found:
        raise TextTableError(f"{name} is not CSV: {SAVE_AS}")
    return max(found, key=lambda each: (len({*required} & {*each[0]}), len(each[0])))
