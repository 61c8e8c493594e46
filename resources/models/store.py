"""Models between assets: graphs by their digest, classifiers by their version, and which one each asset stands for.

A model is stored once and never changed. What an asset stands for is one small file that is replaced whole, so that
the model in use is what the graph says, never the newest folder.
"""

import atexit
import hashlib
import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final, cast

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from pyspark.ml import PipelineModel

from pipeline.embed.backbone import Backbone, open_backbone
from pipeline.embed.batch_size import sidecar
from pipeline.evaluation.labelled_predictions import LabelledPredictions, predictions_of
from pipeline.storage.object_stores import is_uri, spark_reads, spark_uri
from pipeline.training.classifier import Classifier
from resources.lake.lake import Lake
from resources.lake.model_files import EVALUATION, TRAINING_SET, ModelFiles, draft_name, settle
from resources.spark.session import SparkResource

CROSS_FITTED: Final = "cross_fitted.parquet"
END_TO_END_GRAPH: Final = "classifier.onnx"
MLLIB_FOLDERS: Final = ("metadata", "stages")
"""Of a `PipelineModel` that is stored."""
MAX_FORMER: Final = 100
"""Versions before the present one that an asset remembers."""

LOOKUP_ROWS: Final = 2**13
"""Of a row group of the training set, which is sorted by picture: whoever looks for one reads as many."""


class ModelError(RuntimeError):
    """A model that is not there; the text names the asset and the cure."""


class ModelStore(dg.ConfigurableResource):
    """The folder of models, and which of them each asset stands for."""

    lake: Lake = Field(description="Where the models live.")
    spark: SparkResource = Field(description="The session that reads and writes MLlib's own.")

    def save(self, asset: str, model: Backbone | Classifier) -> None:
        """Stores a model, unless it is stored already, and makes the asset stand for it."""
        if isinstance(model, Backbone):
            self._point(asset, {"backbone": model.digest})
            return
        if self._report(model.version) is None:
            self._save_classifier(model)
        else:
            self._add_missing(model)
        former = [version for version in self.list_versions(asset) if version != model.version]
        self._point(asset, {"classifier": model.version, **({"former": former[:MAX_FORMER]} if former else {})})

    def find(self, asset: str) -> Backbone | Classifier | None:
        """The model that an asset stands for, or None where it was never materialized.

        Raises:
            BackboneError: where the graph is damaged.
            ModelError: where the classifier is missing or damaged.
        """
        target = self._target(asset)
        if "backbone" in target:
            return self.open_backbone(target["backbone"])
        return self.open_classifier(target["classifier"]) if target else None

    def find_classifier(self, asset: str) -> Classifier | None:
        """The classifier that an asset stands for, or None where it was never materialized."""
        found = self.find(asset)
        return found if isinstance(found, Classifier) else None

    def list_versions(self, asset: str) -> list[str]:
        """The versions of the classifiers that an asset ever stood for, the present one first."""
        target = self._target(asset)
        return [target["classifier"], *target.get("former", [])] if "classifier" in target else []

    def read_note(self, name: str, version: str) -> dict[str, Any] | None:
        """What was noted of a classifier under this name, or None."""
        note = self._files.read_note(self._files.folder / name / f"{version}.json")
        return cast("dict[str, Any]", json.loads(note)) if note else None

    def write_note(self, name: str, version: str, told: dict[str, Any]) -> None:
        """Notes something of a classifier; its own folder never changes."""
        self._files.write_note(self._files.folder / name / f"{version}.json", json.dumps(told, indent=2))

    def graph_location(self, version: str) -> str:
        """Where the fused graph of a classifier lies, if it has one: a path or a URI."""
        return f"{self._files.root}/classifier/{version}/{END_TO_END_GRAPH}"

    def find_graph(self, version: str) -> Backbone | None:
        """The fused graph of a classifier, or None where it has none.

        A copy under its digest: Spark takes no second file of a name that it knows, and serves the copy until it ends.

        Raises:
            BackboneError: where it is no graph from pixels to a vector.
        """
        content = self._files.read(self._folder(version) / END_TO_END_GRAPH)
        if content is None:
            return None
        folder = tempfile.TemporaryDirectory(prefix="daylight-graph-")
        atexit.register(folder.cleanup)
        copy = Path(folder.name) / f"{hashlib.sha256(content).hexdigest()}.onnx"
        copy.write_bytes(content)
        return open_backbone(copy)

    def read_evaluation(self, version: str) -> dict[str, Any] | None:
        """What stands in the `evaluation.json` of a classifier, or None where it is not there; no model is loaded."""
        report = self._report(version)
        return cast("dict[str, Any]", json.loads(report)) if report else None

    @property
    def _files(self) -> ModelFiles:
        return self.lake.models

    def _folder(self, version: str) -> Path:
        return self._files.folder / "classifier" / version

    def _spark_folder(self, version: str) -> str | None:
        """Where Spark itself reads and writes a classifier in an object store; None where it is to use the copy."""
        root = self._files.root
        if not is_uri(root) or not spark_reads(self.spark.spark_session, root):
            return None
        return f"{spark_uri(root)}/classifier/{version}"

    def _report(self, version: str) -> str | None:
        """The evaluation, which is written last: None where the classifier is not whole."""
        return self._files.read_note(self._folder(version) / EVALUATION)

    def open_backbone(self, digest: str) -> Backbone:
        """The graph of this digest.

        Raises:
            FileNotFoundError: where it is missing.
            BackboneError: where it is damaged.
        """
        graph = self._files.fetch(self._files.folder / "backbone" / f"{digest}.onnx")
        self._files.fetch(sidecar(graph))
        return open_backbone(graph)

    def read_cross_fitted(self, version: str) -> LabelledPredictions | None:
        """The answers of a classifier's cross-fit; None where it was fitted without."""
        content = self._files.read(self._folder(version) / CROSS_FITTED)
        return predictions_of(pq.read_table(io.BytesIO(content))) if content else None

    def _save_classifier(self, classifier: Classifier) -> None:
        folder, report = self._folder(classifier.version), json.dumps(classifier.report, indent=2, ensure_ascii=False)
        beside = _files_beside(classifier)
        if direct := self._spark_folder(classifier.version):
            classifier.model.write().overwrite().save(direct)
            for name, content in beside.items():
                self._files.write(folder / name, content)
            self._files.write_note(folder / EVALUATION, report)
            return
        shutil.rmtree(folder, ignore_errors=True)
        draft = folder.with_name(draft_name(folder.name))
        classifier.model.write().save(f"file://{draft}")
        for name, content in beside.items():
            (draft / name).write_bytes(content)
        (draft / EVALUATION).write_text(report, encoding="utf-8")
        settle(draft, folder, EVALUATION)
        self._files.publish(folder, last=EVALUATION)

    def _add_missing(self, classifier: Classifier) -> None:
        """Adds what a former version of Daylight did not write beside a classifier."""
        for name, content in _files_beside(classifier).items():
            file = self._folder(classifier.version) / name
            if not self._files.has(file):
                self._files.write(file, content)

    def open_classifier(self, version: str) -> Classifier:
        """The classifier of this version.

        Raises:
            ModelError: where it is missing or damaged.
        """
        text = self._report(version)
        if text is None:
            raise ModelError(
                f"the classifier {version} is missing or damaged in {self._files.root}/classifier: materialize it anew"
            )
        report = json.loads(text)
        self.spark.spark_session  # noqa: B018 MLlib loads into the session that there is
        path = self._spark_folder(version) or self._fetch_pipeline(version)
        return Classifier(version, report["backbone"], PipelineModel.load(path), report)

    def _fetch_pipeline(self, version: str) -> str:
        """What MLlib wrote, without the files beside it, which no day needs."""
        for part in MLLIB_FOLDERS:
            self._files.fetch(self._folder(version) / part)
        return f"file://{self._folder(version)}"  # Hadoop decodes no %20

    def _target(self, asset: str) -> dict[str, Any]:
        """What an asset stands for; nothing where it was never materialized."""
        pointer = self._files.read_note(self._files.folder / f"{asset}.json")
        return cast("dict[str, Any]", json.loads(pointer)) if pointer else {}

    def _point(self, asset: str, target: dict[str, Any]) -> None:
        self._files.write_note(self._files.folder / f"{asset}.json", json.dumps(target))


def _files_beside(classifier: Classifier) -> dict[str, bytes]:
    """What lies beside MLlib's own folders, by name; the evaluation comes last."""
    files = {}
    if classifier.graph:
        files[END_TO_END_GRAPH] = classifier.graph
    if classifier.cross_fitted:
        files[CROSS_FITTED] = _to_parquet(classifier.cross_fitted.to_table())
    if classifier.training_set is not None:
        files[TRAINING_SET] = _to_parquet(classifier.training_set)
    return files


def _to_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=LOOKUP_ROWS)
    return sink.getvalue()
