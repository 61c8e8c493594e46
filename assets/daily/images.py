"""The asset `images`: the files that arrived on a day."""

import dagster as dg

from assets.daily.partitions import daily_asset
from pipeline.images.image_files import describe_images, read_days
from pipeline.reports.report import Table
from resources.instance.passes import name_bad_days
from resources.lake.lake import Lake
from resources.landing import LandingError, LandingZone
from resources.settings import Settings
from resources.spark.session import SparkResource


@daily_asset(kinds={"spark", "deltalake"})
def images(
    context: dg.AssetExecutionContext,
    landing_zone: LandingZone,
    lake: Lake,
    settings: dg.ResourceParam[Settings],
    spark: SparkResource,
) -> Table:
    """One row for each file that arrived on the day, with its bytes or its location, whatever its name and contents."""
    try:
        folders = landing_zone.day_folders(context.partition_keys, lake.list_days("images"))
    except LandingError as error:
        raise dg.Failure(str(error), name_bad_days(error.days)) from error
    return Table(
        read_days(spark.spark_session, folders, settings.max_bytes, settings.store_bytes == "days"), describe_images
    )
