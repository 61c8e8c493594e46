"""Precisions: which one the backbone of a deployment has, because it was said or because it was measured.

What measuring found is kept in a small file per network, so that a growing training set never changes the backbone by
itself. How costs are measured and weighed are
`pipeline/training/precision_costs.py` and `precision.py`.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

import dagster as dg
from pydantic import Field
from pyspark.sql import functions as F

from pipeline.embed.backbone import Backbone, open_session
from pipeline.embed.int8_support import refuse_int8
from pipeline.images.labels import label_features
from pipeline.networks.int8.quantization import CALIBRATION_COUNT, QUANTIZER, QuantizationError
from pipeline.networks.parity import explain_failure
from pipeline.networks.pretrained import PretrainedError
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.bake_off import SAMPLE_COUNT, sample_images
from pipeline.training.precision import PrecisionChoice, choose_precision
from pipeline.training.precision_costs import PrecisionCosts, measure_costs, sample_labelled
from pipeline.training.training_set import TrainingError
from resources.lake.commits import LakeError
from resources.lake.feature_cache import FeatureCache
from resources.lake.lake import Lake
from resources.models.catalogue import BackboneCatalogue, check_precision
from resources.spark.session import SparkResource

TABLE: Final = "training_images"
SAID: Final = "DAYLIGHT_PRECISION says so"


class Precisions(dg.ConfigurableResource):
    """Chooses between fp32 and int8. Spark and the labelled pictures are asked for where something must be measured."""

    precision: str = Field(default="auto", description="fp32, int8, or auto: what was measured (DAYLIGHT_PRECISION).")
    catalogue: BackboneCatalogue = Field(description="Makes the graphs.")
    feature_cache: FeatureCache = Field(description="Keeps the features that were made for measuring.")
    lake: Lake = Field(description="Where labelled pictures lie, and where is kept what was measured.")
    spark: SparkResource = Field(description="The session that reads them.")

    def choose(self, measure_again: bool = False) -> tuple[Backbone, PrecisionChoice]:
        """The graph of the deployment in the precision that was said or measured, and why.

        Measured once per lake and network, on at most `precision_costs.MAX_IMAGES` labelled pictures.

        Raises:
            PretrainedError: where the network cannot be had; where int8 was said and cannot be made or run here; where
                labelled pictures are needed and there is no table of them.
        """
        if self.precision == "int8":
            check_precision("int8")
        fp32 = self.catalogue.export()
        noted = None if measure_again else self.recall(fp32)
        if self.precision == "fp32":
            return fp32, PrecisionChoice("fp32", f"fp32: {SAID}", noted.costs if noted else None)
        if self.precision == "auto" and (objection := refuse_int8()):
            return fp32, PrecisionChoice("fp32", f"fp32: {objection}")
        if self.precision == "int8":
            int8 = self._int8(fp32)
            measured = noted or self._measure(fp32)
            return int8, PrecisionChoice("int8", f"int8: {SAID}; measuring chose {measured.reason}", measured.costs)
        choice = noted or self._measure(fp32)
        return (fp32 if choice.precision == "fp32" else self._int8(fp32)), choice

    def keep(self, backbone: Backbone, choice: PrecisionChoice) -> None:
        """Keeps what was measured of a graph."""
        self.lake.models.write_note(
            self._note(backbone), json.dumps({"quantizer": QUANTIZER, **asdict(choice)}, indent=2)
        )

    def recall(self, backbone: Backbone) -> PrecisionChoice | None:
        """What was measured of a graph, or None; what an earlier quantizer made counts as never measured."""
        note = self.lake.models.read_note(self._note(backbone))
        stored = json.loads(note) if note else {}
        if stored.get("quantizer") != QUANTIZER:
            return None
        return PrecisionChoice(stored["precision"], stored["reason"], PrecisionCosts(**stored["costs"]))

    def _measure(self, fp32: Backbone) -> PrecisionChoice:
        stored = self._training_images()
        ids = sample_labelled(stored.frame)
        dg.get_dagster_logger().info(f"measuring {fp32.name} in fp32 and int8 on {len(ids)} labelled pictures")
        images = stored.frame.where(F.col("image_id").isin(ids))
        try:
            int8 = self._int8(fp32)
            costs = measure_costs(
                fp32,
                int8,
                lambda backbone: label_features(self.feature_cache.embed(stored, backbone, ids).rows.frame, images),
                sample_images(images, SAMPLE_COUNT),
            )
        except (QuantizationError, TrainingError) as error:
            return PrecisionChoice("fp32", f"fp32: int8 could not be measured, since {error}")
        choice = choose_precision(costs, explain_failure(int8, self.catalogue.open()))
        self.keep(fp32, choice)
        return choice

    def _int8(self, fp32: Backbone) -> Backbone:
        """The twin as it was calibrated once; on labelled pictures, where it never was."""
        found = self.catalogue.find_int8(fp32)
        if found:
            return found
        return self.catalogue.export(
            precision="int8", pictures=sample_images(self._training_images().frame, CALIBRATION_COUNT)
        )

    def _training_images(self) -> StoredRows:
        try:
            return self.lake.read(self.spark.spark_session, TABLE, None)
        except LakeError as error:
            raise PretrainedError(
                f"DAYLIGHT_PRECISION is {self.precision}, which labelled pictures are needed for: {error},"
                " or let DAYLIGHT_PRECISION be fp32"
            ) from error

    def _note(self, backbone: Backbone) -> Path:
        """One for a graph and its int8 twin, which says in its metadata what it is the twin of."""
        said = open_session(backbone.path).get_modelmeta().custom_metadata_map
        digest = said.get("fp32", backbone.digest)
        return self.lake.models.folder / "backbone" / "precision" / f"{digest}.json"
