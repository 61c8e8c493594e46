"""Classifier records: evaluations and training sets of stored classifiers, read without loading a model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import cached_property
from typing import Any, Final

import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import fs

from pipeline.daily.traces import CANDIDATE, DELETED, FORMER, IN_USE, NEVER, ClassifierTrace, Row
from pipeline.storage.files import open_folder
from resources.lake.model_files import EVALUATION, TRAINING_SET, ModelFiles

REPORTED: Final = ("backbone", "accuracy", "accuracy_interval", "train_count", "holdout_count")


@dataclass(frozen=True)
class ClassifierRecords:
    """The stored classifiers of the lake of this folder or URI, of the question with this prefix."""

    lake: str
    prefix: str = ""

    def trace(self, image_ids: Sequence[str], predictions: Sequence[Row]) -> list[ClassifierTrace]:
        """Traces images through all stored classifiers, newest first, then deleted ones that made the predictions."""
        members: dict[str, list[Row]] = {}
        for row in self.list_members(ds.field("image_id").isin(image_ids)):
            members.setdefault(row.pop("version"), []).append(row)
        used = {row["classifier"] for row in predictions}
        stored = {version: files[EVALUATION].mtime for version, files in self._files.items()}
        newest_first = sorted(stored, key=lambda version: (stored[version], version), reverse=True)
        traces = [self._trace_one(version, version in used, members.get(version, [])) for version in newest_first]
        return traces + [ClassifierTrace(each, DELETED, None, {}, True, None) for each in sorted(used - stored.keys())]

    def list_members(self, keep: pc.Expression) -> Iterator[Row]:
        """Lists rows of the training sets of all stored classifiers, with `version`."""
        for version, files in self._files.items():
            if TRAINING_SET in files:
                yield from (row | {"version": version} for row in self._list(version).to_table(filter=keep).to_pylist())

    def _trace_one(self, version: str, has_predicted: bool, members: list[Row]) -> ClassifierTrace:
        report, files = self._read_json(f"classifier/{version}/{EVALUATION}"), self._files[version]
        is_listed = TRAINING_SET in files
        return ClassifierTrace(
            version,
            self._states.get(version, NEVER),
            files[EVALUATION].mtime.astimezone(UTC),
            {name: report[name] for name in REPORTED if name in report},
            has_predicted,
            f"{self._folder}/{version}/{TRAINING_SET}" if is_listed else None,
            self._count(version) if is_listed and has_predicted else [],
            members,
        )

    def _count(self, version: str) -> list[Row]:
        rows = self._list(version).to_table(columns=["label", "split"])
        counts = rows.group_by(["label", "split"]).aggregate([([], "count_all")])
        return counts.rename_columns({"count_all": "file_count"}).sort_by("label").to_pylist()

    def _list(self, version: str) -> ds.Dataset:
        filesystem, root = open_folder(self._folder)
        return ds.dataset(f"{root}/{version}/{TRAINING_SET}", filesystem=filesystem, format="parquet")

    @property
    def _folder(self) -> str:
        return f"{self._models}/classifier"

    @property
    def _models(self) -> str:
        return "/".join(filter(None, (self.lake, "models", self.prefix)))

    @cached_property
    def _files(self) -> dict[str, dict[str, fs.FileInfo]]:
        """Record files of every stored classifier, by version and name."""
        filesystem, root = open_folder(self._folder)
        found: dict[str, dict[str, fs.FileInfo]] = {}
        for info in filesystem.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True)):
            version, _, name = info.path.removeprefix(root).lstrip("/").partition("/")
            if name in (EVALUATION, TRAINING_SET) and not version.startswith("."):  # a draft
                found.setdefault(version, {})[name] = info
        return {version: files for version, files in found.items() if EVALUATION in files}

    @cached_property
    def _states(self) -> dict[str, str]:
        """Roles of classifiers in the lake, by version."""
        promoted, candidate = self._read_json("classifier.json"), self._read_json("classifier_candidate.json")
        states = {candidate.get("classifier", ""): CANDIDATE, **dict.fromkeys(promoted.get("former", []), FORMER)}
        return states | {promoted.get("classifier", ""): IN_USE}

    def _read_json(self, name: str) -> dict[str, Any]:
        models = ModelFiles(self._models)
        return models.read_json(models.folder / name)
