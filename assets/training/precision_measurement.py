"""The asset `precision_measurement`: which variant of a network suits the labelled images, and what int8 costs."""

import hashlib
from collections.abc import Callable

import dagster as dg
from pydantic import Field
from pyspark.sql import DataFrame

from assets.declarations import training_asset
from pipeline.embed.backbone import Backbone
from pipeline.images.split import label_features
from pipeline.networks.int8.quantization import QuantizationError
from pipeline.networks.pretrained import PretrainedError
from pipeline.networks.variant import Variant
from pipeline.reports.report import join_reports
from pipeline.training.bake_off import SAMPLE_COUNT
from pipeline.training.precision import (
    PrecisionChoice,
    choose_precision,
    describe_precision,
    measure_costs,
    sample_labelled,
)
from pipeline.training.training_set import TrainingError
from pipeline.training.variants import choose_variant, describe_variant, measure_accuracy
from resources.instance.pages import show_report
from resources.lake.feature_cache import FeatureCache
from resources.models.catalogue import BackboneCatalogue
from resources.models.precision import Precisions


class MeasurementConfig(dg.Config):
    """Settings of one launch."""

    measure_again: bool = Field(
        default=False, description="Measure on today's labelled images again; otherwise the first results stay."
    )


@training_asset(kinds={"spark", "onnx", "mllib"}, deps=["training_images"])
def precision_measurement(
    config: MeasurementConfig, catalogue: BackboneCatalogue, feature_cache: FeatureCache, precisions: Precisions
) -> dg.MaterializeResult:
    """Accuracy and speed of the backbone in int8 and in fp32, measured on at most 1,000 labelled images.

    Before that, for a network of your own: the accuracy of each reading of its features, and of each fit of the images.
    Measured once per lake and network, so a growing training set changes nothing. No precision is measured if
    DAYLIGHT_PRECISION is fp32, or if it is auto and the processor has no 8-bit dot products.
    """
    variants = catalogue.variants
    if variants.is_open(catalogue.name) and (config.measure_again or variants.recall(catalogue.name) is None):
        _measure_variants(catalogue, feature_cache, precisions)
    if precisions.needs_measurement():
        fp32 = catalogue.export()
        if config.measure_again or precisions.recall(fp32) is None:
            precisions.keep(fp32, _measure(fp32, catalogue, feature_cache, precisions))
    _, choice = precisions.choose()
    variant = variants.recall(catalogue.name)
    reasons = f"{variant.reason} {choice.reason}" if variant else choice.reason
    report = describe_precision(choice)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(hashlib.sha256(reasons.encode()).hexdigest()[:16]),
        metadata=show_report(join_reports(describe_variant(variant), report) if variant else report),
    )


def _measure_variants(catalogue: BackboneCatalogue, feature_cache: FeatureCache, precisions: Precisions) -> None:
    """Records the most accurate variant; with too few labelled images it stays open."""
    readings = catalogue.list_readings()
    log = dg.get_dagster_logger()

    def measure(variant: Variant) -> float:
        images, embed = _sample(feature_cache, precisions)
        log.info(f"measuring {catalogue.name} ({variant}) on {images.count()} labelled images")
        return measure_accuracy(embed(catalogue.export(variant=variant)))

    try:
        choice = choose_variant(readings if len(readings) > 1 else [""], catalogue.variants.fits, measure)
    except (PretrainedError, TrainingError) as error:
        log.warning(f"the variants of {catalogue.name} could not be measured, so the likeliest is used: {error}")
    else:
        catalogue.variants.keep(catalogue.name, choice)


def _sample(feature_cache: FeatureCache, precisions: Precisions) -> tuple[DataFrame, Callable[[Backbone], DataFrame]]:
    """The labelled images to measure on, and a function that embeds them."""
    stored = precisions.read_training_images()
    frame = stored.frame
    ids = sample_labelled(frame)
    images = frame.where(frame["image_id"].isin(ids))
    return images, lambda backbone: label_features(feature_cache.embed(stored, backbone, ids).rows.frame, images)


def _measure(
    fp32: Backbone, catalogue: BackboneCatalogue, feature_cache: FeatureCache, precisions: Precisions
) -> PrecisionChoice:
    _, embed = _sample(feature_cache, precisions)
    dg.get_dagster_logger().info(f"measuring {fp32.name} in fp32 and int8 on labelled images")
    try:
        contents = precisions.sample_images()
        int8 = precisions.make_int8(contents)
        costs = measure_costs(fp32, int8, embed, contents[:SAMPLE_COUNT], precisions.settings.limits)
    except (QuantizationError, TrainingError) as error:
        return PrecisionChoice("fp32", f"fp32: int8 could not be measured: {error}")
    return choose_precision(costs, catalogue.examine(int8).explain_failure(int8.precision))
