"""Daylight: the work of its assets `images` and `image_features` for one day, and a second day with the same images.

It includes everything from listing the folder to the committed tables, without Dagster: the peers have no scheduler.
As in a run, Spark starts first, while the rest is imported, and ends with the process.
"""

import argparse
import gc
import json
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from resources.spark.early_start import start_in_thread
from resources.spark.options import SparkOptions

if TYPE_CHECKING:
    from pipeline.embed.backbone import Backbone
    from resources.lake.feature_cache import FeatureCache
    from resources.spark.session import SparkResource

FIRST_DAY: Final = date(2026, 1, 1)


def main() -> None:
    """Stores and embeds a folder as one day of a new lake, and with `--again` as the next day too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("graph", type=Path)
    parser.add_argument("lake")
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--store-bytes", choices=("days", "never"), default="days")
    options = parser.parse_args()
    master = f"local[{options.cores}]"
    start_in_thread(SparkOptions(master).open_early)
    gc.disable()  # as `assets/definitions.py` does, while it imports
    from pipeline.embed.backbone import open_backbone
    from resources.lake.feature_cache import FeatureCache
    from resources.lake.lake import Lake
    from resources.settings import Settings
    from resources.spark.session import SparkResource

    gc.freeze()
    gc.enable()
    lake = Lake(root=options.lake)
    cache, backbone = FeatureCache(lake=lake, settings=Settings()), open_backbone(options.graph)
    spark = SparkResource(master=master)
    facts = _embed_day(spark, cache, backbone, options.folder, FIRST_DAY, options.store_bytes == "days")
    if options.again:
        next_day = FIRST_DAY + timedelta(days=1)
        again = _embed_day(spark, cache, backbone, options.folder, next_day, options.store_bytes == "days")
        facts |= {f"again_{name}": value for name, value in again.items()}
    print(json.dumps({**facts, "batch_size": backbone.batch_size}))


def _embed_day(
    spark: "SparkResource", cache: "FeatureCache", backbone: "Backbone", folder: str, day: date, is_stored: bool
) -> dict[str, float]:
    from pipeline.images.image_files import read_days

    lake, days = cache.lake, [day.isoformat()]
    lake.write("images", read_days(lambda: spark.spark_session, {day: folder}, is_stored=is_stored), days)
    started = time.monotonic()
    embedded = cache.embed(lake.read(spark.spark_session, "images", days), backbone)
    lake.write("image_features", embedded.rows, days)
    return {
        "featurization_seconds": time.monotonic() - started,
        "miss_count": embedded.miss_count,
        "images_bytes": _measure_bytes(f"{lake.folder('images')}/day={day.isoformat()}"),
        "features_bytes": _measure_bytes(f"{lake.folder('image_features')}/day={day.isoformat()}"),
        "cache_bytes": _measure_bytes(lake.folder("feature_cache")),
    }


def _measure_bytes(folder: str) -> int:
    return sum(file.stat().st_size for file in Path(folder).rglob("*.parquet"))


if __name__ == "__main__":
    main()
