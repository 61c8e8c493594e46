"""Signed store: Azure with a shared access signature, whose errors do not repeat the signature as those of Arrow do.

Arrow puts the whole URL of a request into the text of an error, and the signature is a part of it.
"""

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs

import pyarrow as pa
from pyarrow import fs

HIDDEN: Final = "…"
QUERY: Final = re.compile(r"\?[^\s'\"]*sig=[^\s'\"]*")
Result = TypeVar("Result")


def open_signed_store(account: str, signature: str, **options: Any) -> fs.FileSystem:
    """Opens Azure with a signature, with or without its question mark; options are those of `fs.AzureFileSystem`."""
    query = f"?{signature.removeprefix('?')}"
    store = fs.AzureFileSystem(account, sas_token=query, **options)
    return fs.PyFileSystem(_Handler(store, _Guard(query)))


class _Guard:
    """Calls functions and hides a signature in their errors."""

    def __init__(self, query: str) -> None:
        self.secrets = [query[1:], *re.findall("sig=([^&]*)", query), *parse_qs(query[1:]).get("sig", [])]

    def call(self, function: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
        try:
            return function(*arguments, **named)
        except (OSError, pa.ArrowException) as error:
            hidden = type(error)(*(self.hide(each) if isinstance(each, str) else each for each in error.args))
        raise hidden  # outside, so that no context holds the first error

    def hide(self, text: str) -> str:
        text = QUERY.sub(f"?{HIDDEN}", text)
        for secret in filter(None, self.secrets):
            text = text.replace(secret, HIDDEN)
        return text


class _Stream:
    """A stream of Arrow as a Python file, for `pa.PythonFile`."""

    def __init__(self, stream: pa.NativeFile, guard: _Guard) -> None:
        self.stream, self.guard = stream, guard

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.stream, name)
        return (lambda *arguments: self.guard.call(found, *arguments)) if callable(found) else found


class _Handler(fs.FileSystemHandler):
    """Passes everything on to a store; all methods are those of `fs.FileSystemHandler`."""

    def __init__(self, store: fs.FileSystem, guard: _Guard) -> None:
        self.store, self.guard = store, guard

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Handler) and self.store.equals(other.store)

    def __hash__(self) -> int:
        return hash(self.store.type_name)

    def get_type_name(self) -> str:
        return str(self.store.type_name)

    def normalize_path(self, path: str) -> str:
        return str(self.store.normalize_path(path))

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        return self.guard.call(self.store.get_file_info, paths)

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        return self.guard.call(self.store.get_file_info, selector)

    def create_dir(self, path: str, recursive: bool) -> None:
        self.guard.call(self.store.create_dir, path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        self.guard.call(self.store.delete_dir, path)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        self.guard.call(self.store.delete_dir_contents, path, missing_dir_ok=missing_dir_ok)

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError("a container is not emptied as a whole")

    def delete_file(self, path: str) -> None:
        self.guard.call(self.store.delete_file, path)

    def move(self, source: str, target: str) -> None:
        self.guard.call(self.store.move, source, target)

    def copy_file(self, source: str, target: str) -> None:
        self.guard.call(self.store.copy_file, source, target)

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self._open(self.store.open_input_file, path, "r")

    def open_input_file(self, path: str) -> pa.NativeFile:
        return self._open(self.store.open_input_file, path, "r")

    def open_output_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        return self._open(self.store.open_output_stream, path, "w", metadata=metadata)

    def open_append_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        return self._open(self.store.open_append_stream, path, "w", metadata=metadata)

    def _open(self, function: Callable[..., pa.NativeFile], path: str, mode: str, **named: Any) -> pa.NativeFile:
        return pa.PythonFile(_Stream(self.guard.call(function, path, **named), self.guard), mode)
