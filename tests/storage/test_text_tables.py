"""Text tables are read as spreadsheets save them, or refused with file, line and cure."""

import pytest

from pipeline.storage.text_tables import Line, TextTableError, decode_text, read_text_table, strip_cell

TEXT = 'path,label,note\r\na/ü.jpg,naïve,x\r\n\r\n , ,\r\n写.jpg,"b, c",\r\n'
LINES = [
    Line(2, {"path": "a/ü.jpg", "label": "naïve"}),
    Line(5, {"path": "写.jpg", "label": "b, c"}),
]


def read(content: bytes) -> list[Line]:
    return list(read_text_table("m.csv", content, ("path", "label"), ("split",)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
def test_every_unicode_encoding_is_read(encoding: str, mark: str) -> None:
    assert read((mark + TEXT).encode(encoding)) == LINES


@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("start", ["", "\n\n", "sep={}\n"], ids=["header", "blank lines", "sep"])
def test_every_delimiter_and_line_end_is_read(delimiter: str, end: str, start: str) -> None:
    cells = [["Path ", " LABEL", "notes, or; so\tmore"], ["a;b,c\td.jpg", "cat", ""]]
    text = start.format(delimiter) + "".join(delimiter.join(f'"{cell}"' for cell in row) + "\n" for row in cells)
    (line,) = read(text.replace("\n", end).encode())
    assert line.cells == {"path": "a;b,c\td.jpg", "label": "cat"}
    assert line.number == 2 + start.count("\n")


def test_the_delimiter_is_the_one_that_finds_the_columns() -> None:
    assert read(b"a, b, c, d;path;label\nx;1.jpg;cat\n") == [Line(2, {"path": "1.jpg", "label": "cat"})]


def test_a_short_line_has_empty_cells_and_a_long_one_may_end_with_delimiters() -> None:
    lines = read(b"path,label,split\n1.jpg,cat\n2.jpg,dog,,,,\n")
    assert [line.cells for line in lines] == [
        {"path": "1.jpg", "label": "cat", "split": ""},
        {"path": "2.jpg", "label": "dog", "split": ""},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "m.csv needs the columns path and label, but has no columns: add path, label"),
        (b"path,class\n", "m.csv needs the columns path and label, but has path, class: add label"),
        (b"path,label,Label \n", "m.csv has the column label 2 times: delete one"),
        (b"path,\xef\xbb\xbfPATH,label\n", "m.csv has the column path 2 times: delete one"),
        (b"path,label,split,Split\n", "m.csv has the column split 2 times: delete one"),
        (b"path,label\n\n1,b,c\n", "m.csv, line 3, has more cells than the header: put quotes"),
        (b'path,label\n"1,b\n', "m.csv, line 2, is not CSV (unexpected end of data): save it"),
        ("path,label\n1,é\n".encode("latin-1"), "m.csv, line 2, is not UTF-8 (byte 13): save it"),
        (b"PK\3\4\0\0path,label", "m.csv is not a text file: save it"),
        ("path,label\n".encode("utf-32"), "m.csv is not a text file: save it"),
        ("path,label\n".encode("utf-16") + b"x", "m.csv, line 2, is not UTF-16"),
    ],
)
def test_a_table_that_cannot_be_read_as_meant_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(TextTableError) as caught:
        read(content)
    assert str(caught.value).startswith(message)


def test_repeated_columns_that_nobody_reads_are_harmless() -> None:
    assert read(b"path,label,note,note\n1,a,,\n") == [Line(2, {"path": "1", "label": "a"})]


def test_one_letter_and_nothing_are_text() -> None:
    assert (decode_text("m.csv", b"p"), decode_text("m.csv", b"")) == ("p", "")


def test_invisible_marks_around_a_cell_are_removed() -> None:
    assert strip_cell("\ufeff \u200bcat food\xa0\u200e\n") == "cat food"
