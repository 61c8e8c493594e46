"""The asset `contenders`: candidates for the backbone, compared on the user's own labelled images."""

import dagster as dg
from pydantic import Field

from assets.declarations import declare_asset
from pipeline.images.split import label_features
from pipeline.networks.int8.quantization import CALIBRATION_COUNT
from pipeline.reports.report import Table, describe_whole
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.bake_off import SAMPLE_COUNT, judge_backbones, sample_images
from pipeline.training.contenders import describe_contenders, tabulate_contenders
from pipeline.training.heads import HeadName, Normalization
from pipeline.training.params import ClassifierParams
from resources.lake.feature_cache import FeatureCache
from resources.models.catalogue import BackboneCatalogue
from resources.models.judgements import Judgements
from resources.settings import Settings
from resources.spark.session import POOL


class BakeOffConfig(dg.Config):
    """Settings of one bake-off."""

    backbones: list[str] = Field(
        default=["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"],
        description="Catalogue names, or paths of your own networks.",
    )
    precisions: list[str] = Field(default=["fp32", "int8"], description="Precisions of each backbone: fp32, int8.")
    head: HeadName = Field(default="logistic_regression", description="MLlib classifier to fit on the features.")
    normalization: Normalization = Field(default="l2", description="Normalization of the features.")
    grid: dict[str, list[float]] = Field(
        default={"regParam": [0.005, 0.01, 0.02, 0.05, 0.1]},
        description="Values by parameter; cross-validation chooses for each backbone.",
    )
    folds: int = Field(default=3, ge=2, description="Folds of the cross-validation.")
    seed: int = Field(default=20260101, description="Seed of the whole training.")


@declare_asset(pool=POOL, group_name="bake_off", kinds={"spark", "onnx", "mllib"})
def contenders(
    context: dg.AssetExecutionContext,
    config: BakeOffConfig,
    training_images: StoredRows,
    catalogue: BackboneCatalogue,
    feature_cache: FeatureCache,
    judgements: Judgements,
    settings: dg.ResourceParam[Settings],
) -> Table:
    """Accuracy, speed and price of backbones and precisions; results on unchanged images and search are reused."""
    labelled = training_images.frame
    contents = sample_images(labelled, CALIBRATION_COUNT)
    judged = judge_backbones(
        catalogue.export_all(config.backbones, config.precisions, contents, settings.limits),
        lambda backbone: label_features(feature_cache.embed(training_images, backbone).rows.frame, labelled),
        contents[:SAMPLE_COUNT],
        ClassifierParams(**config.model_dump(exclude={"backbones", "precisions"})),
        judgements.recall,
        judgements.keep,
        context.log.info,
        settings.limits,
    )
    rows = tabulate_contenders(training_images.spark, judged)
    return Table(rows, describe_whole(describe_contenders(settings.core_hour_dollars)))
