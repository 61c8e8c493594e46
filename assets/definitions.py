"""The code location: assets, checks, jobs, schedules and sensors of all packages, with their resources.

Each package finds its own assets. Resources are declared here.
"""

import warnings

import dagster as dg

warnings.filterwarnings("ignore", category=dg.BetaWarning)  # backfill_policy is beta; Dagster's version is pinned

from assets import alerts, comparison, daily, housekeeping, training
from resources.instance.executor import run_executor
from resources.lake.feature_cache import FeatureCache
from resources.lake.lake import Lake
from resources.lake.tables import TableIOManager
from resources.landing import LandingZone
from resources.models.catalogue import BackboneCatalogue
from resources.models.difficulties import Difficulties
from resources.models.io_manager import ModelIOManager
from resources.models.judgements import Judgements
from resources.models.precision import Precisions
from resources.models.registry import ClassifierRegistry
from resources.models.store import ModelStore
from resources.settings import Settings, read_settings
from resources.spark.session import SparkResource, read_spark_settings


@dg.definitions
def defs() -> dg.Definitions:
    """Builds the code location from the settings of this process."""
    return build_definitions(read_settings())


def build_definitions(settings: Settings) -> dg.Definitions:
    """Builds the code location from these settings."""
    packages = [package.build(settings) for package in (training, daily, comparison, alerts)]
    # One run is one process and one Spark session: a process per step would start a JVM per step.
    shared = dg.Definitions(resources=build_resources(settings), executor=run_executor)
    return dg.Definitions.merge(*packages, housekeeping.build(), shared)


def build_resources(settings: Settings) -> dict[str, object]:
    """Builds the resources, by the names under which assets ask for them."""
    lake = Lake(root=settings.lake)
    spark = SparkResource(master=settings.spark_master, spark_config=read_spark_settings())
    store, cache = ModelStore(lake=lake, spark=spark), FeatureCache(lake=lake, settings=settings)
    own_network = settings.model_dump(include={"weights", "features_tensor", "pixel_scaling", "fit"})
    catalogue = BackboneCatalogue(name=settings.backbone, lake=lake, **own_network)
    return {
        "catalogue": catalogue,
        "difficulties": Difficulties(lake=lake, store=store, review_flags=list(settings.review_flag_names)),
        "feature_cache": cache,
        "judgements": Judgements(lake=lake),
        "io_manager": TableIOManager(lake=lake, spark=spark),
        "landing_zone": LandingZone(
            **settings.model_dump(include={"landing", "training", "label_pattern", "quiet_days"})
        ),
        "lake": lake,
        "classifiers": ClassifierRegistry(store=store),
        "model_store": store,
        "models": ModelIOManager(store=store),
        "precisions": Precisions(
            precision=settings.precision, catalogue=catalogue, lake=lake, spark=spark, settings=settings
        ),
        "settings": settings,
        "spark": spark,
    }
