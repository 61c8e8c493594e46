"""Model files: graphs, classifiers and metadata files below `<lake>/models`, as files on this machine.

ONNX Runtime opens local paths, so models in an object store are copied to the user's cache folder. A complete model
never changes and is copied once; metadata files change and are read from the lake each time.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from pyarrow import fs

from pipeline.storage.files import open_folder
from pipeline.storage.object_stores import is_uri

EVALUATION: Final = "evaluation.json"
TRAINING_SET: Final = "training_set.parquet"
"""Files in the folder of a classifier."""

DRIFT_REFERENCE: Final = "drift_reference.npz"


@dataclass(frozen=True)
class ModelFiles:
    """The models of a lake, below a folder or URI."""

    root: str

    @property
    def folder(self) -> Path:
        """Folder of the models, or of their copies, on this machine."""
        if not is_uri(self.root):
            return Path(self.root)
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "daylight" / hashlib.sha256(self.root.encode()).hexdigest()[:16]

    def read_note(self, file: Path) -> str | None:
        """Reads the text of a file from the lake; None if there is no such file."""
        content = self.read(file)
        return None if content is None else content.decode()

    def read_json(self, file: Path) -> dict[str, Any]:
        """Reads a JSON object from the lake; empty if there is no such file."""
        text = self.read_note(file)
        return dict(json.loads(text)) if text else {}

    def read(self, file: Path) -> bytes | None:
        """Reads the bytes of a file from the lake; None if there is no such file."""
        if not self.has(file):
            return None
        filesystem, path = self._place(file)
        with filesystem.open_input_stream(path) as stream:
            return bytes(stream.read())

    def has(self, file: Path) -> bool:
        """Whether the lake has this file."""
        filesystem, path = self._place(file)
        return bool(filesystem.get_file_info(path).type == fs.FileType.File)

    def write_note(self, file: Path, text: str) -> None:
        """Replaces a text file atomically."""
        self.write(file, text.encode())

    def write(self, file: Path, content: bytes) -> None:
        """Replaces a file atomically: readers see either the old or the new content."""
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(draft_name(file.name))
        draft.write_bytes(content)
        os.replace(draft, file)
        self.publish(file)

    def delete(self, file: Path) -> None:
        """Deletes a file from the lake and from this machine; a folder without its last file is not complete."""
        file.unlink(missing_ok=True)
        if is_uri(self.root) and self.has(file):
            filesystem, path = self._place(file)
            filesystem.delete_file(path)

    def publish(self, path: Path, last: str = "") -> None:
        """Uploads a file or a folder below `folder` to the lake, if the lake is in an object store.

        The file named `last` marks a folder as complete, so it is uploaded last.
        """
        if not is_uri(self.root):
            return
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        for file in sorted(files, key=lambda file: file == path / last):
            filesystem, target = self._place(file)
            fs.copy_files(str(file), target, source_filesystem=fs.LocalFileSystem(), destination_filesystem=filesystem)

    def fetch(self, path: Path) -> Path:
        """Downloads a file or a folder that exists in the lake and not on this machine; returns its path."""
        if is_uri(self.root) and not path.exists():
            filesystem, source = self._place(path)
            kind = filesystem.get_file_info(source).type
            if kind != fs.FileType.NotFound:
                draft, local = path.with_name(draft_name(path.name)), fs.LocalFileSystem()
                (draft if kind == fs.FileType.Directory else draft.parent).mkdir(parents=True, exist_ok=True)
                fs.copy_files(source, str(draft), source_filesystem=filesystem, destination_filesystem=local)
                settle(draft, path)
        return path

    def _place(self, path: Path) -> tuple[fs.FileSystem, str]:
        filesystem, root = open_folder(self.root)
        return filesystem, f"{root}/{path.relative_to(self.folder).as_posix()}"


def draft_name(name: str) -> str:
    """A unique name for a file or folder that is not complete yet; orphaned drafts are removed by `orphans.py`."""
    return f".{name}.{uuid4().hex}"


def settle(draft: Path, path: Path, whole: str = "") -> None:
    """Renames a complete draft, unless another process was first; deletes nothing that another process may be reading.

    Args:
        draft: a file or folder.
        path: its final name.
        whole: file that marks a complete folder; a folder without it is renamed like a draft, for `orphans.py`.
    """
    try:
        if whole and path.exists() and not (path / whole).exists():
            path.rename(path.with_name(draft_name(path.name)))
        draft.rename(path)
    except OSError:
        if draft.is_dir():
            shutil.rmtree(draft)
        else:
            draft.unlink(missing_ok=True)
        if not (path / whole).exists():
            raise  # no other process created the same model
