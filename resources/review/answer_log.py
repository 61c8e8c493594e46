"""The log of answers: one file per server below `<lake>/review_answers`, which only grows.

An answer is on the disk before the page shows the next image. In an object store, where nothing can grow, each action
is an object of its own.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from pyarrow import fs

from pipeline.reviews.answer_files import FOLDER
from pipeline.reviews.answers import Answer
from pipeline.storage.files import list_files, open_folder
from pipeline.storage.object_stores import is_uri


def erase_answers(lake: str, image_id: str) -> list[str]:
    """Erases what was said about an image; returns the files. Lines turn blank in place, since a server may append."""
    folder = f"{lake}/{FOLDER}"
    filesystem, root = open_folder(folder)
    if filesystem.get_file_info(root).type != fs.FileType.Directory:
        return []
    erased = []
    for file in list_files(folder).to_pylist():
        with filesystem.open_input_stream(file["location"]) as stream:
            lines = bytes(stream.read()).splitlines(keepends=True)
        is_about = [image_id.encode() in line for line in lines]
        if any(is_about):
            blank = [
                b" " * (len(line) - 1) + b"\n" if is_it else line for line, is_it in zip(lines, is_about, strict=True)
            ]
            _overwrite(filesystem, file["location"], b"".join(blank))
            erased.append(f"{FOLDER}/{file['path']}")
    return erased


def _overwrite(filesystem: fs.FileSystem, location: bytes, content: bytes) -> None:
    """Replaces the first bytes of a file, never its length; in an object store, the whole object."""
    if isinstance(filesystem, fs.LocalFileSystem):
        with Path(os.fsdecode(location)).open("r+b") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    else:
        with filesystem.open_output_stream(location) as stream:
            stream.write(content)


class AnswerLog:
    """The file or objects of one server."""

    def __init__(self, lake: str) -> None:
        """Writes nothing yet: a server without answers leaves no file."""
        self._folder = f"{lake}/{FOLDER}"
        self._name = f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}-{uuid4().hex[:8]}"
        self._count = 0
        self._file: int | None = None

    def append(self, answers: Sequence[Answer]) -> None:
        """Stores the answers of one action; they are durable when it returns.

        Raises:
            OSError: if they cannot be stored.
        """
        content = b"".join(answer.to_line() for answer in answers)
        if is_uri(self._folder):
            self._upload(content)
        else:
            self._write(content)

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, content: bytes) -> None:
        if self._file is None:
            self._file = self._create()
        end = os.fstat(self._file).st_size
        try:
            if os.write(self._file, content) < len(content):
                raise OSError(f"the disk of {self._folder} is full")
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, end)  # else the next answer would follow a torn line
            raise

    def _create(self) -> int:
        folder = Path(self._folder)
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / f"{self._name}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        for entry in (folder, folder.parent):
            self._sync_entry(entry)
        return file

    @staticmethod
    def _sync_entry(folder: Path) -> None:
        """Makes the name of a new file durable, which its own fsync does not."""
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _upload(self, content: bytes) -> None:
        filesystem, root = open_folder(self._folder)
        with filesystem.open_output_stream(f"{root}/{self._name}-{self._count:06}.jsonl") as stream:
            stream.write(content)
        self._count += 1
