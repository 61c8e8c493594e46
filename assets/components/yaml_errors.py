"""Errors in the YAML of components: one sentence each, with the key, the file, the line and the cure."""

import difflib
import importlib
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import yaml
from dagster.components.core.component_tree import ComponentTreeException
from dagster_shared.check import CheckError
from dagster_shared.error import DagsterUnresolvableSymbolError
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from resources.settings_file import SettingError

TYPE: Final = "assets.components.ImageClassifier"
ERRORS: Final = (
    ComponentTreeException,
    DagsterUnresolvableSymbolError,
    CheckError,
    ValidationError,
)
"""What Dagster raises for YAML that it cannot load, some of them as the cause of another."""


@contextmanager
def explain_yaml(folder: Path, keys: Collection[str]) -> Iterator[None]:
    """Raises a `SettingError` if a component below a folder, which has these keys, cannot be loaded."""
    files = sorted(folder.rglob("defs.yaml"))
    for file in files:
        _check_form(file)
    try:
        yield
    except ERRORS as error:
        named = re.search(r"component (.+)\[\d+\]", str(error))
        file = folder / named[1] / "defs.yaml" if named else folder
        cause: BaseException | None = error
        while cause is not None:
            if sentence := _explain_type(cause, files) or _explain(cause, file, keys):
                raise SettingError(sentence) from None
            cause = cause.__cause__
        raise


def _check_form(file: Path) -> None:
    """Raises a `SettingError` if a file is no YAML, or one of its documents has no `type`."""
    try:
        documents = list(yaml.compose_all(file.read_text(encoding="utf-8"), yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SettingError(f"line {line} of {file} is not YAML: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingError(f"{file} is not YAML in UTF-8: {error}") from None
    if not documents:
        raise SettingError(f"type is missing in line 1 of {file}: start with type: {TYPE}")
    for document in documents:
        names = [key.value for key, _ in document.value] if isinstance(document, yaml.MappingNode) else []
        if "type" not in names:
            line = document.start_mark.line + 1
            raise SettingError(f"type is missing in line {line} of {file}: start with type: {TYPE}")


def _explain_type(error: BaseException, files: Sequence[Path]) -> str:
    if not isinstance(error, DagsterUnresolvableSymbolError):
        return ""
    typed = ((file, *each) for file in files for each in enumerate(file.read_text(encoding="utf-8").splitlines(), 1))
    for file, number, line in typed:
        name = line.partition("#")[0].removeprefix("type:").strip()
        if line.startswith("type:") and not _exists(name):
            return f"type in line {number} of {file} is {name}, which does not exist: dg list components lists them"
    return f"a type does not exist ({error}): dg list components lists them"


def _exists(name: str) -> bool:
    module, _, symbol = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), symbol)
    except (ImportError, ValueError):
        return False


def _explain(error: BaseException, file: Path, keys: Collection[str]) -> str:
    if isinstance(error, ValidationError):
        return _explain_value(error.errors()[0], file, keys)
    if isinstance(error, CheckError):
        return f"a file below {file} cannot be used: {error.args[0].removeprefix('Invariant failed. Description: ')}"
    return ""


def _explain_value(error: ErrorDetails, file: Path, keys: Collection[str]) -> str:
    """Explains the first error of a file; where Dagster knows its place, it is `attributes.key.more at file:line`."""
    path, _, place = ".".join(map(str, error["loc"])).partition(" at ")
    key = path.removeprefix("attributes").lstrip(".").split(".")[0]
    name, _, line = place.rpartition(":")
    where = f"line {line or _find_line(file, key)} of {name or file}"
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, keys, n=1)
        cure = f"did you mean {close[0]}?" if close else f"the keys are {', '.join(keys)}"
        return f"{key} in {where} is no key of ImageClassifier: {cure}"
    if error["type"] == "missing":
        return f"{key} is missing in {where}: add it below attributes"
    reason = f"{error['msg'][0].lower()}{error['msg'][1:]}, but it is {error['input']!r:.80}"
    if error["type"] == "value_error":
        reason = str(error["ctx"]["error"])
    return f"{key or 'attributes'} in {where} cannot be used: {reason}"


def _find_line(file: Path, key: str) -> int:
    """Finds the line of a key, or of `attributes` for a value that concerns several."""
    lines = file.read_text(encoding="utf-8").splitlines()
    wanted = (f"{key or 'attributes'}:", "attributes:", "")
    return next(number for text in wanted for number, line in enumerate(lines, 1) if line.strip().startswith(text))
