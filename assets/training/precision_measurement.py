"""The asset `precision_measurement`: what int8 costs on the labelled images."""

import hashlib

import dagster as dg
from pydantic import Field
from pyspark.sql import DataFrame

from pipeline.embed.backbone import Backbone
from pipeline.images.split import label_features
from pipeline.networks.int8.quantization import QuantizationError
from pipeline.training.bake_off import SAMPLE_COUNT, sample_images
from pipeline.training.precision import (
    PrecisionChoice,
    choose_precision,
    describe_precision,
    measure_costs,
    sample_labelled,
)
from pipeline.training.training_set import TrainingError
from resources.instance.pages import show_report
from resources.lake.feature_cache import FeatureCache
from resources.models.catalogue import BackboneCatalogue
from resources.models.precision import Precisions
from resources.spark.session import POOL


class MeasurementConfig(dg.Config):
    """Settings of one launch."""

    measure_again: bool = Field(
        default=False, description="Measure int8 on today's labelled images again; otherwise the first result stays."
    )


@dg.asset(
    pool=POOL, group_name="training", kinds={"spark", "onnx", "mllib"}, owners=["team:vision"], deps=["training_images"]
)
def precision_measurement(
    config: MeasurementConfig, catalogue: BackboneCatalogue, feature_cache: FeatureCache, precisions: Precisions
) -> dg.MaterializeResult:
    """Accuracy and speed of the backbone in int8 and in fp32, measured on at most 1,000 labelled images.

    Measured once per lake and backbone, so a growing training set does not change the precision. Nothing is measured
    if DAYLIGHT_PRECISION is fp32, or if it is auto and the processor has no 8-bit dot products.
    """
    if precisions.needs_measurement():
        fp32 = catalogue.export()
        if config.measure_again or precisions.recall(fp32) is None:
            precisions.keep(fp32, _measure(fp32, catalogue, feature_cache, precisions))
    _, choice = precisions.choose()
    version = dg.DataVersion(hashlib.sha256(choice.reason.encode()).hexdigest()[:16])
    return dg.MaterializeResult(data_version=version, metadata=show_report(describe_precision(choice)))


def _measure(
    fp32: Backbone, catalogue: BackboneCatalogue, feature_cache: FeatureCache, precisions: Precisions
) -> PrecisionChoice:
    stored = precisions.read_training_images()
    frame = stored.frame
    ids = sample_labelled(frame)
    dg.get_dagster_logger().info(f"measuring {fp32.name} in fp32 and int8 on {len(ids)} labelled images")
    images = frame.where(frame["image_id"].isin(ids))

    def embed(backbone: Backbone) -> DataFrame:
        return label_features(feature_cache.embed(stored, backbone, ids).rows.frame, images)

    try:
        int8 = precisions.export_int8(fp32)
        contents = sample_images(images, SAMPLE_COUNT)
        costs = measure_costs(fp32, int8, embed, contents, precisions.settings.limits)
    except (QuantizationError, TrainingError) as error:
        return PrecisionChoice("fp32", f"fp32: int8 could not be measured: {error}")
    return choose_precision(costs, catalogue.examine(int8).explain_failure(int8.precision))
