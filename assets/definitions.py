"""The code location: all assets, their checks, jobs and schedules, with the resources that the environment asks for."""

import warnings

import dagster as dg

warnings.filterwarnings("ignore", category=dg.BetaWarning)  # of backfill_policy, which we pin Dagster for

from assets import automation, housekeeping
from assets.comparison import contenders
from assets.daily import daily_report, drift, images, late_files, predictions, review_queue
from assets.training import backbone, classifier, label_issues, reviews
from assets.training import end_to_end_graph as fused
from assets.training import gate as promotion
from assets.training import training_features as features
from resources.audit import Audit
from resources.gate import Gate
from resources.lake.feature_cache import FeatureCache
from resources.lake.lake import Lake
from resources.lake.tables import TableIOManager
from resources.landing import LandingZone
from resources.limits import FileLimits
from resources.models.catalogue import BackboneCatalogue
from resources.models.judgements import Judgements
from resources.models.precision import Precisions
from resources.models.store import ModelIOManager, ModelStore
from resources.prices import Prices
from resources.retention import Retention
from resources.settings import Settings, read_settings
from resources.spark.session import SparkResource, read_spark_settings

MODULES = [
    backbone,
    images,
    features,
    classifier,
    fused,
    promotion,
    label_issues,
    predictions,
    drift,
    review_queue,
    daily_report,
    reviews,
    contenders,
]


@dg.definitions
def defs() -> dg.Definitions:
    """Everything, as the environment of this process configures it."""
    return build_definitions(read_settings())


def build_definitions(settings: Settings) -> dg.Definitions:
    """Everything, as these settings configure it.

    One run is one process and one Spark session: a process for every step would start a JVM for every step.
    """
    return dg.Definitions(
        assets=dg.load_assets_from_modules(MODULES),
        asset_checks=dg.load_asset_checks_from_modules(MODULES),
        jobs=[automation.training, automation.daily, automation.bake_off, housekeeping.housekeeping],
        schedules=[automation.every_morning, housekeeping.every_sunday],
        sensors=[late_files.late_files],
        executor=dg.in_process_executor,
        resources=build_resources(settings),
    )


def build_resources(settings: Settings) -> dict[str, object]:
    """The resources by the names under which assets ask for them."""
    lake = Lake(root=settings.lake)
    spark = SparkResource(master=settings.spark_master, spark_config=read_spark_settings())
    store = ModelStore(lake=lake, spark=spark)
    limits = FileLimits(
        max_bytes=settings.limits.bytes,
        max_pixels=settings.limits.pixels,
        max_seconds=settings.limits.seconds,
        max_memory_bytes=settings.limits.memory_bytes,
        max_rejected_share=settings.max_rejected_share,
    )
    feature_cache = FeatureCache(lake=lake, limits=limits)
    catalogue = BackboneCatalogue(
        name=settings.backbone,
        weights=settings.weights,
        features_tensor=settings.features_tensor,
        pixel_scaling=settings.pixel_scaling,
        lake=lake,
    )
    audit = Audit(share=settings.audit_size.share, least=settings.audit_size.least, most=settings.audit_size.most)
    return {
        "audit": audit,
        "catalogue": catalogue,
        "feature_cache": feature_cache,
        "gate": Gate(
            accuracy_floor=settings.accuracy_floor,
            recall_floor=settings.recall_floor,
            max_calibration_error=settings.max_calibration_error,
            max_slowdown=settings.max_slowdown,
            max_growth=settings.max_growth,
        ),
        "judgements": Judgements(lake=lake),
        "io_manager": TableIOManager(lake=lake, spark=spark),
        "landing_zone": LandingZone(
            landing=settings.landing, training=settings.training, label_pattern=settings.label_pattern
        ),
        "lake": lake,
        "limits": limits,
        "model_store": store,
        "models": ModelIOManager(store=store),
        "precisions": Precisions(
            precision=settings.precision, catalogue=catalogue, feature_cache=feature_cache, lake=lake, spark=spark
        ),
        "prices": Prices(core_hour_dollars=settings.core_hour_dollars),
        "retention": Retention(runs_days=settings.keep_runs_days, pictures_days=settings.keep_pictures_days),
        "spark": spark,
    }
