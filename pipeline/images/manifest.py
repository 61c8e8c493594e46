"""The manifest: `manifest.csv` in the training folder, which gives label, split and group of the files that it lists.

Paths are read as they are meant, whichever system wrote them; none leads out of the folder.
"""

import os
import posixpath
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

from pipeline.images.label_sets import parse_set
from pipeline.images.places import LabelError, Place, to_place
from pipeline.storage.files import open_folder
from pipeline.storage.object_stores import is_uri
from pipeline.storage.text_tables import TextTableError, read_text_table, strip_cell

MANIFEST: Final = "manifest.csv"
REQUIRED: Final = ("path", "label")
REQUIRED_OF_SETS: Final = ("path", "labels")
OPTIONAL: Final = ("split", "group")


def find_in_manifest(
    folder: str, paths: Sequence[str], manifest: str = "", is_multi_label: bool = False
) -> dict[str, Place]:
    """Finds the places of the files that the manifest lists.

    Args:
        folder: training folder.
        paths: every file below it.
        manifest: path or URI of the manifest; empty: `manifest.csv` in the folder.
        is_multi_label: whether its column is `labels`, with all labels of an image, instead of `label`.

    Raises:
        LabelError: if the manifest is no table, lists a file that is missing or two ways, or has an unknown split.
    """
    name = manifest or f"{folder}/{MANIFEST}"
    parent, _, file = name.rpartition("/")
    filesystem, root = open_folder(parent)
    with filesystem.open_input_stream(f"{root}/{file}") as stream:
        content = bytes(stream.read())
    finder = _Finder(folder, paths)
    places: dict[str, Place] = {}
    missing: list[tuple[int, str]] = []
    try:
        required = REQUIRED_OF_SETS if is_multi_label else REQUIRED
        for number, cells in read_text_table(name, content, required, OPTIONAL):
            found = finder.find(cells["path"])
            if len(found) > 1:
                raise LabelError(
                    f"{name}, line {number}: {cells['path']!r} may be {found[0]!r} or {found[1]!r}, whose names differ"
                    " only in how accents are stored: rename one of the files"
                )
            if not found:
                missing.append((number, cells["path"]))
                continue
            source = f"{name}, line {number}, for {cells['path']!r},"
            place = to_place(cells, source)
            if is_multi_label:
                place = place._replace(label=_parse_labels(cells["labels"], source))
            if places.setdefault(found[0], place) != place:
                raise LabelError(f"{name} has two different lines for {found[0]!r}: delete one, such as line {number}")
    except TextTableError as error:
        raise LabelError(str(error)) from error
    if missing:
        number, path = min(missing, key=lambda each: each[1])
        raise LabelError(
            f"{name} lists {len(missing)} missing files, such as {path!r} in line {number}: write each path as it is"
            " below this folder, or delete the lines"
        )
    return places


def _parse_labels(text: str, source: str) -> str:
    try:
        return parse_set(text)
    except LabelError as error:
        raise LabelError(f"{source} has a label that cannot be used: {error}") from error


class _Finder:
    """Finds files by any spelling of their paths."""

    def __init__(self, folder: str, paths: Sequence[str]) -> None:
        self.paths = frozenset(paths)
        roots = [folder] if is_uri(folder) else [os.path.abspath(folder), os.path.realpath(folder)]
        self.roots = [f"{_slash(root)}/" for root in roots]

    @cached_property
    def composed(self) -> dict[str, list[str]]:
        """Paths by their composed spelling."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.paths):
            found.setdefault(_compose(path), []).append(path)
        return found

    def find(self, text: str) -> list[str]:
        """Finds the file of a path, by its first spelling that any file has; several if they are composed alike."""
        for spelling in self._spell(text):
            if spelling in self.paths:
                return [spelling]
        return next((found for each in self._spell(text) if (found := self.composed.get(_compose(each)))), [])

    def _spell(self, text: str) -> Iterator[str]:
        yield text
        stripped = strip_cell(text)
        yield stripped
        path = _slash(stripped)
        for root in self.roots:
            path = path.removeprefix(root)
        yield path


def _slash(path: str) -> str:
    """Writes a path with slashes, without `.` and without steps back."""
    scheme, separator, rest = path.replace("\\", "/").rpartition("://")
    return f"{scheme}{separator}{posixpath.normpath(rest)}" if rest else path


def _compose(path: str) -> str:
    return unicodedata.normalize("NFC", path)
