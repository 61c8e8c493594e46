"""Model files: graphs, classifiers and notes below `<lake>/models`, as files on this machine.

ONNX Runtime opens paths, so that of a lake in an object store a folder of the user's cache has copies. Models never
change once they are whole, and are copied once; notes do, and are read from the lake each time.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pyarrow import fs

from pipeline.storage.files import open_folder
from pipeline.storage.object_stores import is_uri
from resources.lake.orphans import draft_name

EVALUATION: Final = "evaluation.json"
TRAINING_SET: Final = "training_set.parquet"
"""Of a classifier, in its folder."""


@dataclass(frozen=True)
class ModelFiles:
    """The models of a lake.

    Attributes:
        root: their folder or URI.
    """

    root: str

    @property
    def folder(self) -> Path:
        """Where they are, or their copies, on this machine."""
        if not is_uri(self.root):
            return Path(self.root)
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "daylight" / hashlib.sha256(self.root.encode()).hexdigest()[:16]

    def read_note(self, file: Path) -> str | None:
        """The text of a small file as it is in the lake now, or None where there is none."""
        content = self.read(file)
        return None if content is None else content.decode()

    def read(self, file: Path) -> bytes | None:
        """The bytes of a file as it is in the lake now, or None where there is none."""
        if not self.has(file):
            return None
        filesystem, path = self._place(file)
        with filesystem.open_input_stream(path) as stream:
            return bytes(stream.read())

    def has(self, file: Path) -> bool:
        """Whether the lake has a file."""
        filesystem, path = self._place(file)
        return bool(filesystem.get_file_info(path).type == fs.FileType.File)

    def write_note(self, file: Path, text: str) -> None:
        """Puts a small file in place."""
        self.write(file, text.encode())

    def write(self, file: Path, content: bytes) -> None:
        """Puts a file in place, whole: whoever reads it finds the old one or the new one."""
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(draft_name(file.name))
        draft.write_bytes(content)
        os.replace(draft, file)
        self.publish(file)

    def publish(self, path: Path, last: str = "") -> None:
        """Brings a file or a folder of this machine into the lake.

        Args:
            path: below `folder`.
            last: name of the file in it by which a folder counts as whole, and which comes last.
        """
        if not is_uri(self.root):
            return
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        for file in sorted(files, key=lambda file: file == path / last):
            filesystem, target = self._place(file)
            fs.copy_files(str(file), target, source_filesystem=fs.LocalFileSystem(), destination_filesystem=filesystem)

    def fetch(self, path: Path) -> Path:
        """Brings a file or a folder of the lake onto this machine, whole, where it is in the lake and not here."""
        if is_uri(self.root) and not path.exists():
            filesystem, source = self._place(path)
            found = filesystem.get_file_info(source)
            if found.type != fs.FileType.NotFound:
                draft = path.with_name(draft_name(path.name))
                (draft if found.type == fs.FileType.Directory else draft.parent).mkdir(parents=True, exist_ok=True)
                fs.copy_files(
                    source, str(draft), source_filesystem=filesystem, destination_filesystem=fs.LocalFileSystem()
                )
                settle(draft, path)
        return path

    def _place(self, path: Path) -> tuple[fs.FileSystem, str]:
        filesystem, root = open_folder(self.root)
        return filesystem, f"{root}/{path.relative_to(self.folder).as_posix()}"


def settle(draft: Path, path: Path, whole: str = "") -> None:
    """Gives a draft its name, unless another process was quicker.

    Args:
        draft: a file or a folder.
        path: what it becomes.
        whole: name of the file by which a folder counts as whole.
    """
    try:
        draft.rename(path)
    except OSError:
        shutil.rmtree(draft)
        if not (path / whole).exists():
            raise  # it was not another process that made the same meanwhile
