"""The asset `images`: the files that arrived on a day."""

import dagster as dg

from assets.daily.partitions import daily_asset, find_open
from pipeline.images.growing_day import select_new_files
from pipeline.images.image_files import SCHEMA, describe_images, list_days, read_files
from pipeline.images.late_files import STORED
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
    """One row for each file that arrived on the day, with its bytes or its location, whatever its name and contents.

    While the day goes on, a run reads only the files that have arrived since the last one.
    """
    try:
        listed = list_days(landing_zone.day_folders(context.partition_keys, lake.list_days("images")))
    except LandingError as error:
        raise dg.Failure(str(error), name_bad_days(error.days)) from error
    day, new = find_open(context, settings), None
    if day and lake.list_written("images", [day]):
        new = select_new_files(listed, lake.read_arrow("images", day, STORED))
    files = listed if new is None else new
    rows = read_files(lambda: spark.spark_session, files, SCHEMA, settings.max_bytes, settings.store_bytes == "days")
    return Table(rows, describe_images, is_added=new is not None)
