"""The asset `training_images`: the labelled images to learn from."""

import dagster as dg

from assets.declarations import training_asset
from pipeline.images.image_files import SCHEMA as IMAGES_SCHEMA
from pipeline.images.labels import describe_training_images, read_training_images
from pipeline.reports.report import Table, describe_whole
from pipeline.reviews import reviews
from pipeline.reviews.reviewed_images import list_days, list_reviewed, read_reviewed_images
from pipeline.storage.columns.schema import parse_schema
from resources.lake.lake import Lake
from resources.landing import LandingZone
from resources.settings import Settings
from resources.spark.session import SparkResource


@training_asset(kinds={"spark", "deltalake"}, deps=["reviews"])
def training_images(
    landing_zone: LandingZone, settings: dg.ResourceParam[Settings], lake: Lake, spark: SparkResource
) -> Table:
    """Labelled images, one row per file or reviewed image, with its bytes or its location.

    The label comes from the folder, from `manifest.csv`, from a pattern or from a review. A folder `train`,
    `validation` or `test` above the label sets the split; otherwise the digest of the bytes decides it for good. The
    column `group` of the manifest names what must stay in one split, such as a shop, a camera or a session.
    """
    session = spark.spark_session
    files = landing_zone.list_training_files()
    labelled = read_training_images(session, files, settings.max_bytes, settings.store_bytes == "days")
    reviewed = list_reviewed(lake.read_known(session, "reviews", parse_schema(reviews.SCHEMA), None))
    if reviewed.num_rows:
        stored = lake.read_known(session, "images", parse_schema(IMAGES_SCHEMA), list_days(reviewed))
        labelled = labelled.unionByName(read_reviewed_images(stored, reviewed))
    return Table(labelled, describe_whole(describe_training_images(files)))
