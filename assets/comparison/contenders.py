"""The contenders of a bake-off: which backbone to choose, told from the user's own labelled pictures."""

import dagster as dg
from pydantic import Field

from pipeline.images.split import label_features
from pipeline.networks.int8.quantization import CALIBRATION_COUNT
from pipeline.reports.report import Table, describe_whole
from pipeline.storage.stored_rows import StoredRows
from pipeline.training.bake_off import SAMPLE_COUNT, judge_backbones, sample_images
from pipeline.training.contenders import describe_contenders, tabulate_contenders
from pipeline.training.fitting import ClassifierParams
from pipeline.training.heads import HeadName, Normalization
from resources.lake.feature_cache import FeatureCache
from resources.models.catalogue import BackboneCatalogue
from resources.models.judgements import Judgements
from resources.settings import Settings
from resources.spark.session import POOL


class BakeOffConfig(dg.Config):
    """What one launch compares."""

    backbones: list[str] = Field(
        default=["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"],
        description="Names of the catalogue, or paths of your own networks.",
    )
    precisions: list[str] = Field(default=["fp32", "int8"], description="Each backbone in each of these: fp32, int8.")
    head: HeadName = Field(default="logistic_regression", description="Name of the MLlib classifier on the features.")
    normalization: Normalization = Field(default="l2", description="Of the vector before the head.")
    grid: dict[str, list[float]] = Field(
        default={"regParam": [0.005, 0.01, 0.02, 0.05, 0.1]},
        description="Values by parameter; cross-validation chooses for every backbone by itself.",
    )
    folds: int = Field(default=3, ge=2, description="Folds of the cross-validation.")
    seed: int = Field(default=20260101, description="Of everything random in the training.")


@dg.asset(pool=POOL, group_name="bake_off", kinds={"spark", "onnx", "mllib"}, owners=["team:vision"])
def contenders(
    context: dg.AssetExecutionContext,
    config: BakeOffConfig,
    training_images: StoredRows,
    catalogue: BackboneCatalogue,
    feature_cache: FeatureCache,
    judgements: Judgements,
    settings: dg.ResourceParam[Settings],
) -> Table:
    """Backbones and precisions on the same pictures, split and search for a head: how good, how fast, how dear.

    What was judged before on the same pictures is not judged again.
    """
    labelled = training_images.frame
    pictures = sample_images(labelled, CALIBRATION_COUNT)
    judged = judge_backbones(
        catalogue.export_all(config.backbones, config.precisions, pictures),
        lambda backbone: label_features(feature_cache.embed(training_images, backbone).rows.frame, labelled),
        pictures[:SAMPLE_COUNT],
        ClassifierParams(**config.model_dump(exclude={"backbones", "precisions"})),
        judgements.recall,
        judgements.keep,
        context.log.info,
    )
    return Table(
        tabulate_contenders(training_images.spark, judged),
        describe_whole(describe_contenders(settings.core_hour_dollars)),
    )
