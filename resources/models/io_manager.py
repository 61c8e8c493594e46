"""The IO manager that hands models from asset to asset."""

import dagster as dg
from pydantic import Field

from pipeline.embed.backbone import Backbone
from pipeline.training.classifier import Classifier
from resources.models.damage import ModelError
from resources.models.store import ModelStore


class ModelIOManager(dg.ConfigurableIOManager):
    """Stores and loads models by the name of their asset."""

    store: ModelStore = Field(description="Store of the models.")

    def handle_output(self, context: dg.OutputContext, obj: Backbone | Classifier) -> None:
        """Stores the model and makes it the current one of its asset."""
        self.store.save(context.asset_key.path[-1], obj)

    def load_input(self, context: dg.InputContext) -> Backbone | Classifier:
        """Loads the current model of an asset.

        Raises:
            ModelError: if the asset was never materialized or its model is damaged.
        """
        model = self.store.find(context.asset_key.path[-1])
        if model is None:
            asset, lake = context.asset_key.to_user_string(), self.store.lake.root
            raise ModelError(f"there is no {asset} in {lake} (DAYLIGHT_LAKE): materialize {asset} first")
        return model
