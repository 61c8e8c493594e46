"""The backbone of a deployment: a name in the catalogue, made into a stored graph."""

import dagster as dg
from pydantic import Field

from pipeline.backbone import Backbone, open_backbone
from pipeline.export import export_backbone
from resources.lake import Lake


class BackboneCatalogue(dg.ConfigurableResource):
    """Makes the chosen backbone."""

    name: str = Field(default="efficientnet-lite0", description="Name of the backbone (DAYLIGHT_BACKBONE).")
    lake: Lake = Field(description="Where the graph is stored.")

    def export(self) -> Backbone:
        """Exports the backbone into the lake; the same weights and versions give the same file."""
        return open_backbone(export_backbone(self.name, self.lake.models / "backbone"))
