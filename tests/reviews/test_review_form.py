"""Review forms contain no formula, whatever the file names, and parsing restores the written text."""

import csv
import io
from datetime import date

import pytest
from conftest import make_frame
from pyspark.sql import SparkSession

from pipeline.reviews import review_form, review_queue
from pipeline.reviews.filled_forms import parse_form
from pipeline.reviews.review_form import FORM_COLUMNS, guard, make_forms, unguard, write_form

DIGEST = "0123456789abcdef" * 4
HOSTILE = [
    "=1+1.jpg",
    "+1.jpg",
    "-1.jpg",
    "@SUM(1).jpg",
    "\t=1.jpg",
    "\r=1.jpg",
    " =1.jpg",
    "a;=1+1;.jpg",
    "a,=1+1,.jpg",
    'a";=1+1;".jpg',
    "a\n=1+1\n.jpg",
    "a\t=1+1\t.jpg",
    "＝1+1.jpg",
    "'=1.jpg",
    "''=1.jpg",
    ";" * 200 + "=1",
]
HARMLESS = ["a=b.jpg", "x-1.jpg", "ünï 🍎.jpg", "it's.jpg", "001", ""]


def row(path: str, label: str = "red") -> dict[str, object]:
    return dict(
        day=date(2026, 11, 20),
        image_id=DIGEST,
        path=path,
        predicted_label=label,
        confidence=0.25,
        reason="audit",
        classifier="0123456789abcdef",
    )


def cells_of(text: str, delimiter: str) -> list[str]:
    """All cells as spreadsheets split them, with and without support for quotes."""
    quoted = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    plain = [cell for line in text.splitlines() for cell in line.split(delimiter)]
    return [cell for line in quoted for cell in line] + plain


@pytest.mark.parametrize("path", HOSTILE, ids=repr)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_no_cell_is_a_formula_with_any_delimiter(path: str, delimiter: str) -> None:
    text = write_form([row(path), row("x.jpg", path)]).removeprefix("\ufeff")
    assert not [
        cell for cell in cells_of(text, delimiter) if cell.strip().strip('"').strip()[:1] in set("=+-@＝") - {""}
    ]


@pytest.mark.parametrize("cell", [*HOSTILE, *HARMLESS], ids=repr)
def test_unguard_reverts_guard(cell: str) -> None:
    assert unguard(guard(cell)) == cell


@pytest.mark.parametrize("cell", HARMLESS, ids=repr)
def test_harmless_text_is_unchanged(cell: str) -> None:
    assert guard(cell) == cell


def test_a_form_opens_in_excel_and_has_an_empty_label_in_its_last_column() -> None:
    text = write_form([row('a, "b"\nc.jpg')])
    assert text.encode().startswith(b"\xef\xbb\xbf")
    header, line = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    assert tuple(header) == FORM_COLUMNS
    assert line == ["2026-11-20", DIGEST, 'a, "b"\nc.jpg', "red", "0.250", "audit", "0123456789abcdef", ""]


def test_an_unfilled_form_has_no_answers() -> None:
    assert list(parse_form("x.csv", write_form([row("a.jpg"), row("b.jpg")]).encode())) == []


def test_every_day_has_a_form_of_limited_length_with_the_audit_first(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review_form, "FORM_ROWS", 3)
    day = date(2026, 11, 20)
    rows = [
        (
            day,
            f"{number}" * 64,
            f"{number}.jpg",
            "red",
            number / 10,
            "uncertain",
            None,
            2.0 if number == 4 else None,
            "v",
            [],
        )
        for number in range(5)
    ]
    queue = make_frame(spark, rows, review_queue.SCHEMA)
    forms = make_forms(queue.toArrow(), ["2026-11-20", "2026-11-21"])
    lines = list(csv.DictReader(io.StringIO(forms["2026-11-20"].text.removeprefix("\ufeff"), newline="")))
    assert [line["path"] for line in lines] == ["4.jpg", "0.jpg", "1.jpg"]
    assert (forms["2026-11-20"].row_count, forms["2026-11-20"].left_out_count) == (3, 2)
    assert (forms["2026-11-21"].row_count, len(forms["2026-11-21"].text.splitlines())) == (0, 1)
