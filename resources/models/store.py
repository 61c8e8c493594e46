"""The model store: graphs by digest, classifiers by version, and the current model of each asset.

A stored model never changes. A small pointer file, replaced atomically, names the current model of an asset; it is
never the newest folder. Which classifier may be promoted is `registry.py`.
"""

import atexit
import hashlib
import io
import json
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from pyspark.ml import PipelineModel

from pipeline.embed.backbone import Backbone, open_backbone
from pipeline.embed.batch_size import sidecar
from pipeline.evaluation.labelled_predictions import LabelledPredictions, levels_of, table_of_levels
from pipeline.storage.object_stores import is_uri, spark_reads, spark_uri
from pipeline.training.classifier import Classifier
from resources.lake.lake import Lake
from resources.lake.model_files import EVALUATION, TRAINING_SET, ModelFiles, draft_name, settle
from resources.models.damage import ModelError, explain_damage
from resources.spark.session import SparkResource

CROSS_FITS: Final = "cross_fits.parquet"
FORMER_CROSS_FIT: Final = "cross_fitted.parquet"  # of versions that knew one level only
END_TO_END_GRAPH: Final = "classifier.onnx"
MLLIB_FOLDERS: Final = ("metadata", "stages")  # of a stored `PipelineModel`
MAX_FORMER: Final = 100  # versions kept in the pointer of an asset
LOOKUP_ROWS: Final = 2**13  # per row group of the training set, sorted by image: a lookup reads one group


class ModelStore(dg.ConfigurableResource):
    """Stores models and the pointers of assets to them."""

    lake: Lake = Field(description="Lake with the models.")
    spark: SparkResource = Field(description="Session that reads and writes MLlib models.")

    def save(self, asset: str, model: Backbone | Classifier) -> None:
        """Stores a model, unless it is stored already, and makes it the current one of the asset."""
        if isinstance(model, Backbone):
            self._point(asset, {"backbone": model.digest})
            return
        if self.read_evaluation(model.version):
            self._add_missing(model)
        else:
            self._save_classifier(model)
        former = [version for version in self.list_versions(asset) if version != model.version]
        self._point(asset, {"classifier": model.version, **({"former": former[:MAX_FORMER]} if former else {})})

    def find(self, asset: str) -> Backbone | Classifier | None:
        """Loads the current model of an asset; None if it was never materialized.

        Raises:
            ModelError: if it is missing or damaged.
        """
        target = self._target(asset)
        if "backbone" in target:
            return self.open_backbone(target["backbone"])
        return self.open_classifier(target["classifier"]) if target else None

    def find_classifier(self, asset: str) -> Classifier | None:
        """Loads the current classifier of an asset; None if it was never materialized."""
        found = self.find(asset)
        return found if isinstance(found, Classifier) else None

    def list_versions(self, asset: str) -> list[str]:
        """Lists the current version of an asset and the former ones, newest first."""
        target = self._target(asset)
        return [target["classifier"], *target.get("former", [])] if "classifier" in target else []

    def read_note(self, name: str, version: str) -> dict[str, Any]:
        """Reads a record about a classifier; empty if there is none."""
        return self._files.read_json(self._files.folder / name / f"{version}.json")

    def write_note(self, name: str, version: str, record: dict[str, Any]) -> None:
        """Writes a record about a classifier, outside its folder, which never changes."""
        self._files.write_note(self._files.folder / name / f"{version}.json", json.dumps(record, indent=2))

    def graph_location(self, version: str) -> str:
        """Path or URI of the end-to-end graph of a classifier; the file may not exist."""
        return f"{self._files.root}/classifier/{version}/{END_TO_END_GRAPH}"

    def find_graph(self, version: str) -> Backbone | None:
        """Opens the end-to-end graph of a classifier; None if it has none.

        Opens a temporary copy named after its digest, because Spark accepts each file name only once.
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
        """Reads the `evaluation.json` of a classifier, which is written last; None if the classifier is incomplete."""
        with self._explain_damage(version):
            return self._files.read_json(self._folder(version) / EVALUATION) or None

    @property
    def _files(self) -> ModelFiles:
        return self.lake.models

    def _folder(self, version: str) -> Path:
        return self._files.folder / "classifier" / version

    def _spark_folder(self, version: str) -> str | None:
        """URI at which Spark reads and writes a classifier directly; None if it uses the local folder."""
        root = self._files.root
        if not is_uri(root) or not spark_reads(self.spark.spark_session, root):
            return None
        return f"{spark_uri(root)}/classifier/{version}"

    def open_backbone(self, digest: str) -> Backbone:
        """Opens the graph with this digest; raises ModelError if it is missing or damaged."""
        graph = self._files.folder / "backbone" / f"{digest}.onnx"
        cure = "copy the file again, or materialize backbone"
        with explain_damage(f"the backbone {digest}", f"{self._files.root}/backbone", cure):
            self._files.fetch(graph)
            self._files.fetch(sidecar(graph))
            return open_backbone(graph)

    def read_cross_fits(self, version: str) -> tuple[LabelledPredictions, ...]:
        """Reads the cross-fits of a classifier, the easiest level first; none if it was fitted without."""
        for name in (CROSS_FITS, FORMER_CROSS_FIT):
            if content := self._files.read(self._folder(version) / name):
                return levels_of(pq.read_table(io.BytesIO(content)))
        return ()

    def _save_classifier(self, classifier: Classifier) -> None:
        folder, report = self._folder(classifier.version), json.dumps(classifier.report, indent=2, ensure_ascii=False)
        beside = _files_beside(classifier)
        if direct := self._spark_folder(classifier.version):
            classifier.model.write().overwrite().save(direct)
            for name, content in beside.items():
                self._files.write(folder / name, content)
            self._files.write_note(folder / EVALUATION, report)
            return
        draft = folder.with_name(draft_name(folder.name))
        classifier.model.write().save(f"file://{draft}")
        for name, content in beside.items():
            (draft / name).write_bytes(content)
        (draft / EVALUATION).write_text(report, encoding="utf-8")
        settle(draft, folder, EVALUATION)
        self._files.publish(folder, last=EVALUATION)

    def _add_missing(self, classifier: Classifier) -> None:
        """Adds files that an earlier version of Daylight did not write."""
        for name, content in _files_beside(classifier).items():
            file = self._folder(classifier.version) / name
            if not self._files.has(file):
                self._files.write(file, content)

    def open_classifier(self, version: str) -> Classifier:
        """Loads the classifier with this version; raises ModelError if it is missing or damaged."""
        report = self.read_evaluation(version)
        if report is None:
            raise ModelError(
                f"the classifier {version} is missing or damaged in {self._files.root}/classifier: materialize it again"
            )
        self.spark.spark_session  # noqa: B018 MLlib loads into the active session
        with self._explain_damage(version):
            path = self._spark_folder(version) or self._fetch_pipeline(version)
            return Classifier(version, report["backbone"], PipelineModel.load(path), report)

    def _explain_damage(self, version: str) -> AbstractContextManager[None]:
        cure = "copy this folder again, or delete it and launch the job training"
        return explain_damage(f"the classifier {version}", f"{self._files.root}/classifier/{version}", cure)

    def _fetch_pipeline(self, version: str) -> str:
        """Fetches only the folders of MLlib, because daily runs need no other file."""
        for part in MLLIB_FOLDERS:
            self._files.fetch(self._folder(version) / part)
        return f"file://{self._folder(version)}"  # Hadoop decodes no %20

    def _target(self, asset: str) -> dict[str, Any]:
        """Reads the pointer of an asset; empty if it was never materialized."""
        return self._files.read_json(self._files.folder / f"{asset}.json")

    def _point(self, asset: str, target: dict[str, Any]) -> None:
        self._files.write_note(self._files.folder / f"{asset}.json", json.dumps(target))


def _files_beside(classifier: Classifier) -> dict[str, bytes]:
    """Collects the files beside MLlib's folders, by name, without the evaluation."""
    files = {}
    if classifier.graph:
        files[END_TO_END_GRAPH] = classifier.graph
    if classifier.cross_fits:
        files[CROSS_FITS] = _to_parquet(table_of_levels(classifier.cross_fits))
    if classifier.training_set is not None:
        files[TRAINING_SET] = _to_parquet(classifier.training_set)
    return files


def _to_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=LOOKUP_ROWS)
    return sink.getvalue()
