"""The model store: graphs by digest, classifiers by version, and the current model of each asset.

A stored model never changes. A small pointer file, replaced atomically, names the current model of an asset; it is
never the newest folder. Which classifier may be promoted is `registry.py`.
"""

import json
from pathlib import Path
from typing import Any, Final

import dagster as dg
from pydantic import Field, PrivateAttr
from pyspark.ml import PipelineModel
from pyspark.sql.utils import is_remote

from pipeline.embed.backbone import Backbone, open_backbone
from pipeline.embed.batch_size import sidecar
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.storage.object_stores import is_uri
from pipeline.storage.spark_paths import spark_reads, spark_uri
from pipeline.training.classifier import Classifier
from resources.lake.lake import Lake
from resources.lake.model_files import EVALUATION, ModelFiles, draft_name, settle
from resources.models.beside import END_TO_END_GRAPH, FilesBeside, pack_files
from resources.models.damage import ModelError, explain_damage
from resources.models.pipelines import open_pipeline
from resources.spark.session import SparkResource

MLLIB_FOLDERS: Final = ("metadata", "stages")  # of a stored `PipelineModel`
MAX_FORMER: Final = 100  # versions kept in the pointer of an asset


class ModelStore(dg.ConfigurableResource):
    """Stores models and the pointers of assets to them."""

    lake: Lake = Field(description="Lake with the models.")
    spark: SparkResource = Field(description="Session that reads and writes MLlib models.")

    _pipelines: dict[str, PipelineModel] = PrivateAttr(
        default_factory=dict
    )  # by version, of the classifiers opened here

    def save(self, asset: str, model: Backbone | Classifier) -> None:
        """Stores a model, unless it is stored already, and makes it the current one of the asset."""
        if isinstance(model, Backbone):
            self._point(asset, {"backbone": model.digest})
            return
        if self._is_missing(model):
            self._save_classifier(model)
        elif contents := pack_files(model):
            self._beside(model.version).repair(contents)
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
        """Opens the end-to-end graph of a classifier; None if it has none, ModelError if it is damaged."""
        return self._beside(version).find_graph()

    def read_evaluation(self, version: str) -> dict[str, Any] | None:
        """Reads the `evaluation.json` of a classifier, which is written last; None if the classifier is incomplete."""
        with self._beside(version).explain_damage():
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
        files = self.lake.shared_models
        graph = files.folder / "backbone" / f"{digest}.onnx"
        cure = "copy the file again, or materialize backbone"
        with explain_damage(f"the backbone {digest}", f"{files.root}/backbone", cure):
            files.fetch(graph)
            files.fetch(sidecar(graph))
            return open_backbone(graph)

    def read_cross_fits(self, version: str) -> tuple[LabelledPredictions, ...]:
        """Reads the cross-fits of a classifier, the easiest level first; none if it was fitted without."""
        return self._beside(version).read_cross_fits()

    def _save_classifier(self, classifier: Classifier) -> None:
        folder, report = self._folder(classifier.version), json.dumps(classifier.report, indent=2, ensure_ascii=False)
        beside = pack_files(classifier)
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

    def _is_missing(self, classifier: Classifier) -> bool:
        """Whether a classifier is not stored, or, where it has just been fitted again, cannot be loaded."""
        try:
            if self.read_evaluation(classifier.version) is None:
                return True
            if classifier.cross_fits:
                self.open_classifier(classifier.version)
        except ModelError:
            self._files.delete(self._folder(classifier.version) / EVALUATION)
            return True
        return False

    def recall(self, version: str) -> Classifier | None:
        """Loads a stored classifier, so that a training with the same inputs need not fit it again.

        None if it is not stored, is damaged, or lacks a file that this version of Daylight writes.
        """
        try:
            if self.read_evaluation(version) is None:
                return None
            found = self.open_classifier(version)
        except ModelError as error:
            dg.get_dagster_logger().warning(f"{version} is fitted again: {error}")
            return None
        return found if self._beside(version).has_all(found) else None

    def open_classifier(self, version: str) -> Classifier:
        """Loads the classifier with this version; raises ModelError if it is missing or damaged."""
        report = self.read_evaluation(version)
        if report is None:
            raise ModelError(
                f"the classifier {version} is missing or damaged in {self._files.root}/classifier: materialize it again"
            )
        self.spark.spark_session  # noqa: B018 MLlib loads into the active session
        with self._beside(version).explain_damage():
            if version not in self._pipelines:
                self._pipelines[version] = self._load_pipeline(version)
            return Classifier(version, report["backbone"], self._pipelines[version], report)

    def _beside(self, version: str) -> FilesBeside:
        return FilesBeside(self._files, version)

    def _load_pipeline(self, version: str) -> PipelineModel:
        if direct := self._spark_folder(version):
            return PipelineModel.load(direct)
        for part in MLLIB_FOLDERS:  # daily runs need no other file
            self._files.fetch(self._folder(version) / part)
        if is_remote():  # Spark Connect, whose server reads the files
            return PipelineModel.load(f"file://{self._folder(version)}")  # Hadoop decodes no %20
        return open_pipeline(self._folder(version))

    def _target(self, asset: str) -> dict[str, Any]:
        """Reads the pointer of an asset; empty if it was never materialized."""
        return self._files.read_json(self._files.folder / f"{asset}.json")

    def _point(self, asset: str, target: dict[str, Any]) -> None:
        self._files.write_note(self._files.folder / f"{asset}.json", json.dumps(target))
