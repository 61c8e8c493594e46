"""The precision of a deployment's backbone: as configured, or as recorded by the asset `precision_measurement`.

A measurement is recorded once per graph, so that a growing training set never changes the backbone by itself. Measuring
is `assets/training/precision_measurement.py`; the decision is `pipeline/training/precision.py`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import dagster as dg
from pydantic import Field

from pipeline.embed.backbone import Backbone, open_session
from pipeline.embed.int8_support import refuse_int8
from pipeline.networks.int8.quantization import CALIBRATION_COUNT, QUANTIZER
from pipeline.networks.pretrained import PretrainedError
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.bake_off import sample_images
from pipeline.training.precision import PrecisionChoice, PrecisionCosts
from resources.lake.commits import LakeError
from resources.lake.lake import Lake
from resources.models.catalogue import BackboneCatalogue, check_precision
from resources.settings import Settings
from resources.spark.session import SparkResource

CONFIGURED: Final = "set by DAYLIGHT_PRECISION"
RECORDS: Final = "precision"
FAILURES: Final = "unmeasured"


class Precisions(dg.ConfigurableResource):
    """Chooses between fp32 and int8; starts Spark and reads labelled images only to calibrate int8."""

    precision: str = Field(default="auto", description="fp32, int8, or auto: as measured (DAYLIGHT_PRECISION).")
    catalogue: BackboneCatalogue = Field(description="Makes the graphs.")
    lake: Lake = Field(description="Lake with the labelled images and the records.")
    spark: SparkResource = Field(description="Session that reads the labelled images.")
    settings: dg.ResourceDependency[Settings]

    def choose(self) -> tuple[Backbone, PrecisionChoice]:
        """Returns the graph of the deployment in the configured or recorded precision, and the reason for it.

        Raises:
            PretrainedError: if the network cannot be loaded, int8 is configured but cannot run here, or a measurement
                is needed and none is recorded.
        """
        is_measured = self.needs_measurement()
        fp32 = self.catalogue.export()
        if not is_measured:
            return fp32, self._choose_unmeasured(fp32)
        measured = self.recall(fp32) or self._recall_failure(fp32)
        if measured is None:
            raise PretrainedError(
                f"DAYLIGHT_PRECISION={self.precision} needs a measurement of {fp32.name} on labelled images, and there"
                " is none: materialize precision_measurement first, or set DAYLIGHT_PRECISION=fp32"
            )
        if self.precision == "int8":
            measured = PrecisionChoice("int8", f"int8: {CONFIGURED}; measured: {measured.reason}", measured.costs)
        return (self.export_int8(fp32) if measured.precision == "int8" else fp32), measured

    def needs_measurement(self) -> bool:
        """Whether the choice depends on a measurement.

        Raises:
            PretrainedError: if int8 is configured and this machine cannot run it.
        """
        if self.precision == "int8":
            check_precision("int8")
        return self.precision == "int8" or (self.precision == "auto" and not refuse_int8())

    def keep(self, backbone: Backbone, choice: PrecisionChoice) -> None:
        """Records a measurement; one that failed (without costs) is tried again by the next training."""
        file = self._file(backbone, RECORDS if choice.costs else FAILURES)
        self.lake.models.write_note(file, json.dumps({"quantizer": QUANTIZER, **asdict(choice)}, indent=2))

    def recall(self, backbone: Backbone) -> PrecisionChoice | None:
        """Reads the measurement of a graph; None if there is none, or if it was made with another quantizer."""
        stored = self.lake.models.read_json(self._file(backbone, RECORDS))
        if stored.get("quantizer") != QUANTIZER:
            return None
        return PrecisionChoice(stored["precision"], stored["reason"], PrecisionCosts(**stored["costs"]))

    def export_int8(self, fp32: Backbone) -> Backbone:
        """Finds the int8 variant of a graph, or makes it, calibrated on labelled images."""
        return self.catalogue.find_int8(fp32) or self.make_int8(self.sample_images())

    def make_int8(self, contents: Sequence[bytes]) -> Backbone:
        """Makes the int8 variant of the configured network, calibrated on these images, or finds it."""
        return self.catalogue.export(precision="int8", calibration=contents, limits=self.settings.limits)

    def sample_images(self) -> list[bytes]:
        """Reads the labelled images on which int8 is calibrated."""
        return sample_images(self.read_training_images().frame, CALIBRATION_COUNT)

    def read_training_images(self) -> StoredRows:
        """Finds the labelled images; raises PretrainedError if there is no table of them."""
        try:
            return self.lake.read(self.spark.spark_session, "training_images", None)
        except LakeError as error:
            raise PretrainedError(
                f"DAYLIGHT_PRECISION={self.precision} needs labelled images: {error}, or set DAYLIGHT_PRECISION=fp32"
            ) from error

    def _choose_unmeasured(self, fp32: Backbone) -> PrecisionChoice:
        if self.precision != "fp32":
            return PrecisionChoice("fp32", f"fp32: {refuse_int8()}")
        recorded = self.recall(fp32)
        return PrecisionChoice("fp32", f"fp32: {CONFIGURED}", recorded.costs if recorded else None)

    def _recall_failure(self, fp32: Backbone) -> PrecisionChoice | None:
        stored = self.lake.models.read_json(self._file(fp32, FAILURES))
        return PrecisionChoice(stored["precision"], stored["reason"]) if stored else None

    def _file(self, backbone: Backbone, folder: str) -> Path:
        """Returns the path for a graph and its int8 variant, whose metadata names the fp32 graph."""
        metadata = open_session(backbone.path).get_modelmeta().custom_metadata_map
        digest = metadata.get("fp32", backbone.digest)
        return self.lake.models.folder / "backbone" / folder / f"{digest}.json"
