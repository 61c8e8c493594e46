"""Filled forms from any spreadsheet are parsed, and invalid ones are refused with a cure."""

from datetime import date
from pathlib import Path

import pytest

from pipeline.reviews import filled_forms
from pipeline.reviews.filled_forms import MAX_BYTES, NO_FORMS, ReviewError, parse_form, read_forms

DIGEST = "0123456789abcdef" * 4
HEADER = "day,image_id,path,predicted_label,confidence,reason,classifier,label"
LINE = f"2026-11-20,{DIGEST},a.jpg,red,0.500,audit,v1,blue"


def answers_of(text: str | bytes) -> list[dict]:
    return list(parse_form("monday.csv", text if isinstance(text, bytes) else text.encode()))


def test_a_filled_line_is_an_answer_and_an_empty_one_is_not() -> None:
    (answer,) = answers_of(f"{HEADER}\n{LINE}\n{LINE.removesuffix('blue')}\n{LINE.removesuffix('blue')}  \n,,,,,,,\n\n")
    assert answer == {
        "file": "monday.csv",
        "line": 2,
        "days": [date(2026, 11, 20)],
        "image_id": DIGEST,
        "label": "blue",
        "form_label": "red",
        "form_classifier": "v1",
    }


@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_forms_of_all_spreadsheets_are_read(delimiter: str, mark: str, end: str, encoding: str) -> None:
    cells = LINE.replace("blue", "blå").split(",")
    cells[2] = f'"a{end}; ""b"", .jpg"'
    text = f"{mark}{HEADER.replace(',', delimiter)}{end}{delimiter.join(cells)}{end}"
    (answer,) = answers_of(text.encode(encoding))
    assert (answer["label"], answer["days"], answer["form_label"]) == ("blå", [date(2026, 11, 20)], "red")


def test_columns_may_have_any_order_and_only_three_are_required() -> None:
    (answer,) = answers_of(f"Label, IMAGE_ID ,note,day\nblue,{DIGEST.upper()},x,2026-11-20\n")
    assert (answer["label"], answer["image_id"], answer["form_label"]) == ("blue", DIGEST, None)


@pytest.mark.parametrize(
    ("cell", "days"),
    [
        ("2026-11-20", ["2026-11-20"]),
        ("2026-11-20 00:00:00", ["2026-11-20"]),
        ("20.11.2026", ["2026-11-20"]),
        ("11/20/2026", ["2026-11-20"]),
        ("20/11/26", ["2026-11-20"]),
        ("03/04/2026", ["2026-03-04", "2026-04-03"]),
    ],
)
def test_a_reformatted_day_is_read_in_every_possible_way(cell: str, days: list[str]) -> None:
    (answer,) = answers_of(f"{HEADER}\n{LINE.replace('2026-11-20', cell)}\n")
    assert [str(day) for day in answer["days"]] == days


def test_labels_are_stripped_and_composed() -> None:
    line = LINE.replace("blue", " bla\u030a\u200b ")
    (answer,) = answers_of(f"{HEADER}\n{line}\n")
    assert answer["label"] == "blå"


def test_a_label_copied_from_a_guarded_cell_is_unguarded() -> None:
    (answer,) = answers_of(f"{HEADER}\n{LINE.replace('blue', chr(39) + '=x')}\n")
    assert answer["label"] == "=x"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"monday.csv needs the columns day, image_id and label, but has no columns: add day, image_id, label"),
        (b"day,label\n2026-11-20,x\n", r"add image_id"),
        (b"day,image_id,label,label\n", r"has the column label 2 times: delete one"),
        (f"{HEADER}\n{LINE},more\n".encode(), r"monday.csv, line 2, has more cells than the header"),
        (
            f"{HEADER}\n{LINE}\n{LINE.replace(DIGEST, '1.2E+63')}\n".encode(),
            r"line 3, has an image_id that is not a SHA",
        ),
        (f"{HEADER}\n{LINE.replace('2026-11-20', 'Monday')}\n".encode(), r"the day 'Monday': write it as 2026"),
        (f"{HEADER}\n{LINE.replace('2026-11-20', '2026-02-30')}\n".encode(), r"line 2, has the day '2026-02-30'"),
        (f"{HEADER}\n2026-11-20\n{LINE}\x07\n".encode(), r"line 3, has a label with unprintable characters"),
        (f"{HEADER}\n{LINE}{'x' * 200}\n".encode(), r"or of more than 200"),
        (f"{HEADER}\n{LINE.replace('a.jpg', chr(34) + 'a')}".encode(), r"is not CSV \(unexpected end of data\): save"),
        (f"{HEADER}\n{LINE.replace('a.jpg', 'x' * 200_000)}\n".encode(), r"is not CSV \(field larger"),
        (f"{HEADER}\n{LINE}\n".replace("blue", "blå").encode("latin-1"), r"is not UTF-8 .* CSV UTF-8"),
        (b"PK\x03\x04\x00\x00day", r"is not a text file"),
    ],
)
def test_an_invalid_form_is_refused_with_file_line_and_cure(content: bytes, message: str) -> None:
    with pytest.raises(ReviewError, match=message):
        answers_of(content)


def test_all_forms_below_the_folder_are_read_and_other_files_are_listed(tmp_path: Path) -> None:
    (tmp_path / "anna").mkdir()
    (tmp_path / "$RECYCLE.BIN").mkdir()
    hidden = (".~lock.b.csv#", "._b.csv", "~$b.xlsx", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN/deleted.csv")
    for name in ("b.csv", "anna/A.CSV", "b.xlsx", *hidden):
        (tmp_path / name).write_text(f"{HEADER}\n{LINE}\n")
    forms = read_forms(str(tmp_path))
    assert forms.answers["file"].to_pylist() == ["anna/A.CSV", "b.csv"]
    assert (forms.file_count, forms.ignored, forms.days) == (2, ["b.xlsx"], ["2026-11-20"])


def test_a_huge_file_is_refused_without_reading_it_whole(tmp_path: Path) -> None:
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(ReviewError, match=f"huge.csv is larger than {MAX_BYTES} bytes"):
        read_forms(str(tmp_path))


def test_a_folder_without_forms_has_no_answers(tmp_path: Path) -> None:
    assert read_forms(str(tmp_path)) == NO_FORMS
    assert NO_FORMS.answers.schema == filled_forms.COLUMNS
