"""Models between assets: graphs by their digest, classifiers by their version, and which one each asset stands for.

A model is stored once and never changed. What an asset stands for is one small file that is replaced whole, so that
the model in use is what the graph says, never the newest folder.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field
from pyspark.ml import PipelineModel

from pipeline.backbone import Backbone, open_backbone
from pipeline.batch_size import sidecar
from pipeline.classifier import Classifier
from pipeline.stores import is_uri, spark_reads, spark_uri
from resources.lake import Lake
from resources.leftovers import draft_name
from resources.model_files import ModelFiles, settle
from resources.spark import SparkResource

EVALUATION = "evaluation.json"


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
        self._point(asset, {"classifier": model.version})

    def find(self, asset: str) -> Backbone | Classifier | None:
        """The model that an asset stands for, or None where it was never materialized.

        Raises:
            BackboneError: where the graph is damaged.
            ModelError: where the classifier is missing or damaged.
        """
        pointer = self._files.read_note(self._files.folder / f"{asset}.json")
        if pointer is None:
            return None
        target = json.loads(pointer)
        if "backbone" in target:
            return self._open_backbone(target["backbone"])
        return self._load_classifier(target["classifier"])

    def find_classifier(self, asset: str) -> Classifier | None:
        """The classifier that an asset stands for, or None where it was never materialized."""
        found = self.find(asset)
        return found if isinstance(found, Classifier) else None

    def read_evaluation(self, version: str) -> dict[str, Any] | None:
        """What stands in the `evaluation.json` of a classifier, or None where it is not there; no model is loaded."""
        report = self._report(version)
        return json.loads(report) if report else None

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

    def _open_backbone(self, digest: str) -> Backbone:
        graph = self._files.fetch(self._files.folder / "backbone" / f"{digest}.onnx")
        self._files.fetch(sidecar(graph))
        return open_backbone(graph)

    def _save_classifier(self, classifier: Classifier) -> None:
        folder, report = self._folder(classifier.version), json.dumps(classifier.report, indent=2, ensure_ascii=False)
        if direct := self._spark_folder(classifier.version):
            classifier.model.write().overwrite().save(direct)
            self._files.write_note(folder / EVALUATION, report)
            return
        shutil.rmtree(folder, ignore_errors=True)
        draft = folder.with_name(draft_name(folder.name))
        classifier.model.write().save(f"file://{draft}")
        (draft / EVALUATION).write_text(report, encoding="utf-8")
        settle(draft, folder, EVALUATION)
        self._files.publish(folder, last=EVALUATION)

    def _load_classifier(self, version: str) -> Classifier:
        text = self._report(version)
        if text is None:
            raise ModelError(
                f"the classifier {version} is missing or damaged in {self._files.root}/classifier: materialize it anew"
            )
        report = json.loads(text)
        self.spark.spark_session  # noqa: B018 MLlib loads into the session that there is
        direct = self._spark_folder(version)
        path = direct or f"file://{self._files.fetch(self._folder(version))}"  # Hadoop decodes no %20
        return Classifier(version, report["backbone"], PipelineModel.load(path), report)

    def _point(self, asset: str, target: dict[str, str]) -> None:
        self._files.write_note(self._files.folder / f"{asset}.json", json.dumps(target))


class ModelIOManager(dg.ConfigurableIOManager):
    """Hands models from asset to asset by way of the store."""

    store: ModelStore = Field(description="Where the models live.")

    def handle_output(self, context: dg.OutputContext, obj: Backbone | Classifier) -> None:
        """Stores the model under its asset."""
        self.store.save(context.asset_key.path[-1], obj)

    def load_input(self, context: dg.InputContext) -> Backbone | Classifier:
        """Loads the model that an asset stands for.

        Raises:
            ModelError: where it was never materialized, or is damaged.
        """
        asset = context.asset_key.path[-1]
        model = self.store.find(asset)
        if model is None:
            raise ModelError(
                f"there is no {asset} in {self.store.lake.root} (DAYLIGHT_LAKE): materialize {asset} first"
            )
        return model
