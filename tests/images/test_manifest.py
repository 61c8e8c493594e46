"""The manifest's paths and labels are read as they are meant; what is ambiguous is refused."""

import re
import unicodedata
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.images.labels import describe_training_images, list_training_files, read_training_images
from pipeline.images.manifest import MANIFEST
from pipeline.images.places import LabelError, list_similar
from pipeline.images.split import HOLDOUT

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def lay_out(folder: Path, manifest: str | bytes, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    (folder / MANIFEST).write_bytes(manifest if isinstance(manifest, bytes) else manifest.encode())


def labels_of(folder: Path) -> dict[str, str]:
    return {row["path"]: row["label"] for row in list_training_files(str(folder)).labelled.to_pylist()}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_a_manifest_saved_by_any_spreadsheet_is_read(tmp_path: Path, delimiter: str, encoding: str) -> None:
    rows = [["Path", " Label", "SPLIT"], ["a/1.jpg", "Äpfel", "Test "], ["a/2.jpg", " Birnen", ""]]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    lay_out(tmp_path, text.encode(encoding), "a/1.jpg", "a/2.jpg")
    assert labels_of(tmp_path) == {"a/1.jpg": "Äpfel", "a/2.jpg": "Birnen"}
    assert list_training_files(str(tmp_path)).labelled["split"].to_pylist() == [HOLDOUT, None]


@pytest.mark.parametrize(
    "spelling",
    ["a/b/1.jpg", "a\\b\\1.jpg", "./a/b/1.jpg", ".\\a\\b\\1.jpg", "a//b/./1.jpg", " a/b/1.jpg ", "{}/a/b/1.jpg"],
)
def test_a_path_may_be_spelt_as_any_system_writes_it(tmp_path: Path, spelling: str) -> None:
    lay_out(tmp_path, f"path,label\n{spelling.format(tmp_path)},cat\n", "a/b/1.jpg")
    assert labels_of(tmp_path) == {"a/b/1.jpg": "cat"}


def test_an_absolute_path_may_use_a_link_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    lay_out(tmp_path / "real", f"path,label\n{tmp_path}/real/1.jpg,cat\n{tmp_path}/link/2.jpg,dog\n", "1.jpg", "2.jpg")
    assert labels_of(tmp_path / "link") == {"1.jpg": "cat", "2.jpg": "dog"}


@pytest.mark.parametrize("name", [" leading.jpg", "trailing.jpg ", "back\\slash.jpg"])
def test_a_name_that_is_spelt_exactly_is_found_first(tmp_path: Path, name: str) -> None:
    lay_out(tmp_path, f'path,label\n"{name}",cat\n', name, "leading.jpg", "trailing.jpg", "back/slash.jpg")
    assert labels_of(tmp_path) == {name: "cat"}


@pytest.mark.parametrize(("listed", "stored"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)], ids=["NFC", "NFD"])
def test_accents_may_be_stored_otherwise_than_on_disk(tmp_path: Path, listed: str, stored: str) -> None:
    lay_out(tmp_path, f"path,label\n.\\{listed}\\1.jpg,{listed}\n", f"{stored}/1.jpg")
    assert labels_of(tmp_path) == {f"{stored}/1.jpg": COMPOSED}


def test_names_that_differ_only_in_how_accents_are_stored_are_found_exactly_or_refused(tmp_path: Path) -> None:
    names = [f"{COMPOSED}.jpg", f"{DECOMPOSED}.jpg"]
    lay_out(tmp_path, f"path,label\n{names[0]},cat\n{names[1]},dog\n", *names)
    assert labels_of(tmp_path) == dict(zip(names, ["cat", "dog"], strict=True))
    composed, decomposed, third = "\u1e69.jpg", "s\u0323\u0307.jpg", "s\u0307\u0323.jpg"
    lay_out(tmp_path, f"path,label\n{third},cat\n", composed, decomposed)
    with pytest.raises(LabelError, match=r"manifest.csv, line 2: .* may be .* or .*: rename one of the files"):
        labels_of(tmp_path)


def test_one_file_spelt_twice_has_one_label_or_is_refused(tmp_path: Path) -> None:
    lay_out(tmp_path, "path,label\na/1.jpg,cat\na\\1.jpg,cat \n", "a/1.jpg")
    assert labels_of(tmp_path) == {"a/1.jpg": "cat"}
    lay_out(tmp_path, "path,label\na/1.jpg,cat\n./a/1.jpg,dog\n", "a/1.jpg")
    with pytest.raises(LabelError, match=r"two different lines for 'a/1.jpg': delete one, such as line 3"):
        labels_of(tmp_path)


@pytest.mark.parametrize("header", ["path,label,Label", "path;label; label ", "path\tPATH\tlabel"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, header: str) -> None:
    lay_out(tmp_path, f"{header}\n", "1.jpg")
    with pytest.raises(
        LabelError, match=rf"{re.escape(str(tmp_path))}/manifest.csv has the column \w+ 2 times: delete"
    ):
        labels_of(tmp_path)


def test_missing_files_are_counted_and_one_is_named_with_its_line(tmp_path: Path) -> None:
    lay_out(tmp_path, "path,label\n1.jpg,cat\n\n8.jpg,cat\n9.jpg,cat\n", "1.jpg")
    with pytest.raises(LabelError, match=r"lists 2 missing files, such as '8.jpg' in line 4: write each path as it is"):
        labels_of(tmp_path)


def test_a_manifest_may_list_sidecars_which_have_no_label(tmp_path: Path) -> None:
    lay_out(tmp_path, "path,label\n1.jpg,cat\n__MACOSX/._1.jpg,cat\n", "1.jpg", "__MACOSX/._1.jpg")
    files = list_training_files(str(tmp_path))
    assert (files.labelled["path"].to_pylist(), files.sidecars) == (["1.jpg"], ["__MACOSX/._1.jpg"])


# Labels, whatever they come from


@pytest.mark.parametrize("folders", [("cat", "cat "), (COMPOSED, DECOMPOSED), ("a b", "\u200ba b\xa0")])
@pytest.mark.parametrize("pattern", ["", r"(?P<label>[^/]+)/"])
def test_labels_that_look_alike_are_one_class(tmp_path: Path, folders: tuple[str, str], pattern: str) -> None:
    for number, folder in enumerate(folders):
        (tmp_path / "train" / folder).mkdir(parents=True)
        (tmp_path / "train" / folder / f"{number}.jpg").write_bytes(b"")
    labels = set(
        list_training_files(str(tmp_path / ("train" if pattern else "")), pattern).labelled["label"].to_pylist()
    )
    assert labels == {folders[0]}


def test_labels_that_differ_by_case_are_two_classes_with_a_warning(spark: SparkSession, tmp_path: Path) -> None:
    lay_out(tmp_path, "path,label\n1.jpg,cat\n2.jpg,Cat\n3.jpg,dog\n", "1.jpg", "2.jpg", "3.jpg")
    files = list_training_files(str(tmp_path))
    report = describe_training_images(files)(read_training_images(spark, files))
    assert report.numbers["label_count"] == 3
    assert report.texts["similar_labels"].startswith("'Cat' and 'cat': each is a class of its own")


def test_similar_labels_are_grouped() -> None:
    assert list_similar(["b", "Tea  pot", "tea pot", "TEA POT", "a", "ﬁg", "fig"]) == [
        ["TEA POT", "Tea  pot", "tea pot"],
        ["fig", "ﬁg"],
    ]
