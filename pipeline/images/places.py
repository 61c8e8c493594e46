"""Places: the label, split and group of a file, as its folder, a pattern or a manifest gives them."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pipeline.images.split import SPLIT_FOLDERS
from pipeline.storage.text_tables import strip_cell


class LabelError(ValueError):
    """Labels that cannot be used; the message names the file and the cure."""


class Place(NamedTuple):
    """What is known about a file; a file without a label is left out."""

    label: str | None
    split: str | None
    group: str | None = None


NOWHERE: Final = Place(None, None)


def find_in_folders(paths: Sequence[str]) -> list[Place]:
    """Finds the place of each path by its first folders.

    A folder `train` with subfolders sets the split; without subfolders it is a label.
    """
    split_folders = {path.split("/")[0] for path in paths if path.count("/") > 1} & SPLIT_FOLDERS.keys()
    return [_find_in_folders(path.split("/")[:-1], split_folders) for path in paths]


def find_by_pattern(pattern: str, paths: Sequence[str]) -> list[Place]:
    """Finds the place of each path by a regular expression.

    Raises:
        LabelError: if it is none, or finds a split that does not exist.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise LabelError(f"the label pattern {pattern!r} is not a regular expression: {error}") from error
    if "label" not in expression.groupindex:
        raise LabelError(f"the label pattern {pattern!r} has no group named label: write (?P<label>...)")
    found = [match.groupdict() if (match := expression.search(path)) else {} for path in paths]
    return [to_place(each, f"the label pattern, for {path!r},") for path, each in zip(paths, found, strict=True)]


def to_place(values: Mapping[str, str | None], source: str) -> Place:
    """Checks and cleans `label`, `split` and `group`, of which any may be missing or empty.

    Raises:
        LabelError: if there is no such split; it begins with the source.
    """
    written = strip_cell(values.get("split") or "")
    split = written.lower()
    if split and split not in SPLIT_FOLDERS:
        raise LabelError(f"{source} has the split {written!r}; use {', '.join(SPLIT_FOLDERS)}, or leave it empty")
    return Place(
        clean_label(values.get("label")), SPLIT_FOLDERS[split] if split else None, clean_label(values.get("group"))
    )


def clean_label(text: str | None) -> str | None:
    """Removes spaces around a name and composes its letters, so that one class has one spelling; None if empty."""
    return unicodedata.normalize("NFC", strip_cell(text or "")) or None


def list_similar(labels: Sequence[str]) -> list[list[str]]:
    """Lists labels that differ only by case or spaces within: several classes that are probably one."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        key = " ".join(unicodedata.normalize("NFKC", label).casefold().split())
        groups.setdefault(key, []).append(label)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def _find_in_folders(folders: list[str], split_folders: set[str]) -> Place:
    if not folders:
        return NOWHERE
    if folders[0] not in split_folders:
        return Place(clean_label(folders[0]), None)
    return Place(clean_label(folders[1]), SPLIT_FOLDERS[folders[0]]) if len(folders) > 1 else NOWHERE
