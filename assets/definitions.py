"""The code location: assets, checks, jobs, schedules and sensors of all packages, with their resources.

Each package finds its own assets. Resources are declared here.
"""

import atexit
import gc
import warnings
from collections.abc import Sequence
from functools import cache, reduce
from operator import or_
from pathlib import Path

import dagster as dg

gc.disable()  # imports drop nothing, and looking for it takes a quarter of their time
atexit.register(gc.freeze)  # else Python looks through all modules once more when it ends: 0.7 s
warnings.filterwarnings("ignore", category=dg.BetaWarning)  # backfill_policy is beta; Dagster's version is pinned

from resources.settings import Settings, read_settings
from resources.spark.early_start import start_early
from resources.spark.session import SparkResource, read_spark_settings


def build_spark(settings: Settings) -> SparkResource:
    """Builds the resource of all that starts Spark."""
    return SparkResource(master=settings.spark_master, spark_config=read_spark_settings())


start_early(lambda: build_spark(read_settings()).open_early())  # the imports below take as long as the JVM

from assets import alerts, comparison, components, daily, housekeeping, training
from resources.instance.executor import run_executor
from resources.lake.feature_cache import FeatureCache
from resources.lake.lake import Lake
from resources.lake.tables import TableIOManager
from resources.landing import open_landing_zone
from resources.models.catalogue import BackboneCatalogue
from resources.models.difficulties import Difficulties
from resources.models.io_manager import ModelIOManager
from resources.models.judgements import Judgements
from resources.models.precision import Precisions
from resources.models.registry import ClassifierRegistry
from resources.models.store import ModelStore
from resources.question import Question

gc.freeze()
gc.enable()


@dg.definitions
@cache
def defs() -> dg.Definitions:
    """Builds the code location from the settings of this process and the components in `assets/defs`.

    Once a process: a launch asks for it twice.
    """
    settings, here = read_settings(), Path(__file__)
    questions = components.list_questions(dg.ComponentTree.for_project(here), settings)
    return dg.Definitions.merge(build_shared(settings, questions), dg.load_from_defs_folder(path_within_project=here))


def build_definitions(settings: Settings, questions: Sequence[Question] = ()) -> dg.Definitions:
    """Builds the code location from these settings, with further questions."""
    return dg.Definitions.merge(build_shared(settings, questions), *map(components.build, questions))


def build_shared(settings: Settings, questions: Sequence[Question] = ()) -> dg.Definitions:
    """Builds the question of the deployment, what all questions share, and the resources of all."""
    own, together = Question(settings), [each for each in questions if not each.schedule]
    # One run is one process and one Spark session: a process per step would start a JVM per step.
    shared = dg.Definitions(resources=build_resources(settings, questions), executor=run_executor)
    return dg.Definitions.merge(
        training.build(own),
        daily.build(own, together),
        daily.build_overview(own, together),
        daily.build_watch(settings),
        comparison.build(own),
        alerts.build(own),
        housekeeping.build(),
        shared,
    )


def build_resources(settings: Settings, questions: Sequence[Question] = ()) -> dict[str, object]:
    """Builds the resources, by the names under which assets ask for them."""
    lake = Lake(root=settings.lake)
    spark = build_spark(settings)
    own_network = settings.model_dump(include={"weights", "features_tensor", "pixel_scaling", "fit"})
    catalogue = BackboneCatalogue(name=settings.backbone, lake=lake, **own_network)
    shared: dict[str, object] = {
        "catalogue": catalogue,
        "feature_cache": FeatureCache(lake=lake, settings=settings),
        "judgements": Judgements(lake=lake),
        "questions": tuple(each.name for each in questions),
        "precisions": Precisions(
            precision=settings.precision, catalogue=catalogue, lake=lake, spark=spark, settings=settings
        ),
        "spark": spark,
    }
    own = [_build_own(Question(settings), lake, spark)]
    own += [_build_own(each, Lake(root=settings.lake, prefix=each.name), spark) for each in questions]
    return reduce(or_, own, shared)


def _build_own(question: Question, lake: Lake, spark: SparkResource) -> dict[str, object]:
    store = ModelStore(lake=lake, spark=spark)
    resources: dict[str, object] = {
        "classifiers": ClassifierRegistry(store=store),
        "difficulties": Difficulties(lake=lake, store=store, review_flags=list(question.settings.review_flag_names)),
        "io_manager": TableIOManager(lake=lake, spark=spark),
        "landing_zone": open_landing_zone(question),
        "lake": lake,
        "model_store": store,
        "models": ModelIOManager(store=store),
        "settings": question.settings,
    }
    return {question.resource(name): each for name, each in resources.items()}
