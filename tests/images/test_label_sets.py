"""Label sets: one text for equal sets, from manifests and from people."""

import math
from pathlib import Path

import pytest

from pipeline.images.label_sets import EMPTY, list_labels, list_members, parse_set, rank_sets
from pipeline.images.labels import list_training_files
from pipeline.images.places import LabelError


def lay_out(folder: Path, *lines: str) -> str:
    for name in "abc":
        (folder / f"{name}.jpg").write_bytes(name.encode())
    (folder / "manifest.csv").write_text("\n".join(lines))
    return str(folder)


@pytest.mark.parametrize("text", ["warm;dark", " dark ; warm;", "dark;warm;dark", "\ufeffwarm;;dark"])
def test_equal_sets_are_equal_texts(text: str) -> None:
    assert parse_set(text) == "dark;warm"


@pytest.mark.parametrize("text", ["", " ; ", EMPTY])
def test_no_label_is_a_set_too(text: str) -> None:
    assert parse_set(text) == EMPTY
    assert list_members(EMPTY) == []


@pytest.mark.parametrize("label", ["(not) dark", "hats/caps", "*"])
def test_a_label_that_cannot_be_one_of_a_set_is_refused(label: str) -> None:
    with pytest.raises(LabelError, match=r"rename the label"):
        parse_set(f"dark;{label}")


def test_the_labels_of_sets_are_listed_once() -> None:
    assert list_labels(["dark;warm", EMPTY, "warm"]) == ["dark", "warm"]


def test_the_most_probable_sets_differ_in_the_doubtful_labels() -> None:
    shares = {"dark": 0.9, "warm": 0.6, "torn": 0.01}
    ranked = rank_sets(shares, 3)
    assert [text for text, _ in ranked] == ["dark;warm", "dark", "warm"]
    assert math.isclose(ranked[0][1], 0.9 * 0.6 * 0.99)


def test_a_manifest_gives_sets_and_an_empty_cell_is_the_empty_set(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, "path,labels,group", 'a.jpg,"warm;dark",x', "b.jpg,,")
    files = list_training_files(folder, is_multi_label=True)
    assert dict(zip(*(files.labelled[name].to_pylist() for name in ("path", "label")), strict=True)) == {
        "a.jpg": "dark;warm",
        "b.jpg": EMPTY,
    }
    assert files.unlabelled == ["c.jpg"]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["path,label", "a.jpg,dark"], "needs the columns path and labels, but has path, label: add labels"),
        (
            ["path,labels", "a.jpg,dark/red"],
            "line 2, for 'a.jpg', has a label .*: 'dark/red' contains '/'",
        ),
    ],
)
def test_a_manifest_without_sets_is_refused(tmp_path: Path, lines: list[str], sentence: str) -> None:
    with pytest.raises(LabelError, match=sentence):
        list_training_files(lay_out(tmp_path, *lines), is_multi_label=True)


def test_folders_give_no_sets(tmp_path: Path) -> None:
    (tmp_path / "dark").mkdir()
    (tmp_path / "dark" / "a.jpg").write_bytes(b"a")
    with pytest.raises(LabelError, match=r"multi_label needs manifest.csv in .*, or the key manifest"):
        list_training_files(str(tmp_path), is_multi_label=True)
