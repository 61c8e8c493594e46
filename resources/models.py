"""Models between assets: graphs by their digest, classifiers by their version, and which one each asset stands for.

A model is stored once and never changed. What an asset stands for is one small file that is replaced whole, so that
the model in use is what the graph says, never the newest folder.
"""

import json
import shutil
from pathlib import Path

import dagster as dg
from pydantic import Field
from pyspark.ml import PipelineModel

from pipeline.backbone import Backbone, open_backbone
from pipeline.classifier import Classifier
from resources.lake import Lake
from resources.leftovers import draft_name
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
        folder = self._folder(model.version)
        if not (folder / EVALUATION).exists():
            shutil.rmtree(folder, ignore_errors=True)
            _save_classifier(model, folder)
        self._point(asset, {"classifier": model.version})

    def find(self, asset: str) -> Backbone | Classifier | None:
        """The model that an asset stands for, or None where it was never materialized.

        Raises:
            BackboneError: where the graph is damaged.
            ModelError: where the classifier is missing or damaged.
        """
        pointer = self.lake.models / f"{asset}.json"
        if not pointer.exists():
            return None
        target = json.loads(pointer.read_text())
        if "backbone" in target:
            return open_backbone(self.lake.models / "backbone" / f"{target['backbone']}.onnx")
        return self._load_classifier(target["classifier"])

    def find_classifier(self, asset: str) -> Classifier | None:
        """The classifier that an asset stands for, or None where it was never materialized."""
        found = self.find(asset)
        return found if isinstance(found, Classifier) else None

    def _folder(self, version: str) -> Path:
        return self.lake.models / "classifier" / version

    def _load_classifier(self, version: str) -> Classifier:
        folder = self._folder(version)
        if not (folder / EVALUATION).exists():
            raise ModelError(f"the classifier {version} is missing or damaged in {folder}: materialize it anew")
        report = json.loads((folder / EVALUATION).read_text())
        self.spark.spark_session  # noqa: B018 MLlib loads into the session that there is
        return Classifier(version, report["backbone"], PipelineModel.load(folder.as_uri()), report)

    def _point(self, asset: str, target: dict[str, str]) -> None:
        self.lake.write_note(self.lake.models / f"{asset}.json", json.dumps(target))


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


def _save_classifier(classifier: Classifier, folder: Path) -> None:
    draft = folder.with_name(draft_name(folder.name))
    classifier.model.write().save(draft.as_uri())
    (draft / EVALUATION).write_text(json.dumps(classifier.report, indent=2, ensure_ascii=False))
    try:
        draft.rename(folder)
    except OSError:
        shutil.rmtree(draft)
        if not (folder / EVALUATION).exists():
            raise  # it was not another run that stored the same version meanwhile
