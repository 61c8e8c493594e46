"""A day of new images against feature caches of many ages: lookup, embedding, memory of the driver.

    python -m benchmarks.cache GRAPH                               # 1, 100 and 1,000 days of 10,000 images
    python -m benchmarks.cache GRAPH --days 1 2 --images 20 --rounds 1

Caches are generated: random ids, vectors of eight numbers, in row groups of 300 rows and four files a day as real ones.
`images` and `image_features` have as many days. Each measured day is a process; caches take turns.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from PIL import Image
from pyspark.sql import Row

from benchmarks.explain import FIRST_DAY, write_files
from benchmarks.sampler import TICKS, list_descendants
from pipeline.embed.backbone import open_backbone
from pipeline.embed.file_kinds import DECODER
from pipeline.images.cache_lookup import find_cached, find_images
from pipeline.images.feature_cache import CACHE_SCHEMA
from pipeline.images.features import SCHEMA
from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.rows import Appended
from resources.lake.commits import append_rows, create_table, list_files
from resources.lake.feature_cache import TABLE, FeatureCache, open_index
from resources.lake.lake import Lake
from resources.settings import Settings
from resources.spark.session import SparkResource

FILES: Final = 4  # a day has as many
SIDE: Final = 64  # of an image, in pixels
DIMENSION: Final = 8  # of cached vectors
NOW: Final = datetime(2026, 11, 22, tzinfo=UTC)
GROUP_ROWS: Final = 300  # as with 1,280 features
PAST_IMAGES: Final = 8  # on each past day of `images` and `image_features`
MEASURES: Final = {
    "lookup_seconds": "lookup s",
    "seconds": "day s",
    "cpu_seconds": "driver CPU-s",
    "python_mb": "driver MB",
    "jvm_mb": "its JVM MB",
}


def main() -> None:
    """Makes the lakes, predicts days of new images, and prints the medians and their ratios to the first lake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path, help="graph of a backbone, <digest>.onnx")
    parser.add_argument("--days", nargs="+", type=int, default=[1, 100, 1_000], help="ages of the caches")
    parser.add_argument("--images", type=int, default=10_000, help="images of a day")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="keep the lakes in this folder, and use those that are in it")
    parser.add_argument("--measure", nargs=2, metavar=("LAKE", "DAY"), help="measure one day (internal)")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.graph, *options.measure)))
        return
    SparkResource(master="local[1]", spark_config={}).spark_session.range(1).count()  # parses the schemas
    with tempfile.TemporaryDirectory(prefix="daylight-cache-") as temporary:
        lakes = {count: f"{options.work or temporary}/{count}" for count in options.days}
        for count, lake in lakes.items():
            if not Path(lake).exists():
                print(f"{count} days: {make_lake(lake, open_backbone(options.graph).digest, count, options.images)}")
        runs: dict[int, list[dict[str, float]]] = {count: [] for count in lakes}
        for _ in range(options.rounds):
            seed = time.time_ns()
            day = FIRST_DAY + timedelta(days=max(lakes) + seed % 10**6)
            for count, lake in lakes.items():
                write_day(lake, "images", day, make_images(seed, options.images))
                runs[count].append(run_alone(options.graph, lake, day))
                print(f"{count} days: {runs[count][-1]}", file=sys.stderr)
    print_table(runs, options.images)


def print_table(runs: dict[int, list[dict[str, float]]], image_count: int) -> None:
    """Prints medians, and in brackets their ratios to those of the youngest cache."""
    medians = {
        count: {name: statistics.median(run[name] for run in each) for name in MEASURES} for count, each in runs.items()
    }
    first = medians[min(medians)]
    print(f"| cached images | {' | '.join(MEASURES.values())} |\n|{' --- |' * (1 + len(MEASURES))}")
    for count, values in medians.items():
        cells = [f"{value:,.2f} ({value / first[name]:.2f})" for name, value in values.items()]
        print(f"| {count * image_count:,} | {' | '.join(cells)} |")


def run_alone(graph: Path, lake: str, day: date) -> dict[str, float]:
    """Measures a day in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.cache", str(graph), "--measure", lake, str(day)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(graph: Path, folder: str, day: str) -> dict[str, float]:
    """Looks up, embeds and stores the images of a day; none may be a hit."""
    lake, backbone = Lake(root=folder), open_backbone(graph)
    spark = SparkResource(master="local[2]", spark_config={}).spark_session
    spark.range(2).mapInArrow(lambda batches: batches, "id long").count()  # starts the workers
    children = list_descendants(os.getpid())
    (java,) = [pid for pid in children if "java" in Path(f"/proc/{pid}/comm").read_text()]
    cache = FeatureCache(lake=lake, settings=Settings())
    table = cache.open_table(spark, backbone)
    started, cpu_started = time.perf_counter(), cpu_seconds(java)
    images = lake.read(spark, "images", [day])
    ids = find_images(images)["image_id"]
    lookup_started, lookup_cpu = time.perf_counter(), cpu_seconds(java)
    cached = table.read()
    found = find_cached(cached, ids, 10**9, among=table.find_rows(cached, ids))
    lookup_seconds, lookup_cpu = time.perf_counter() - lookup_started, cpu_seconds(java) - lookup_cpu
    embedded = cache.embed(images, backbone)
    if found.num_rows or embedded.hit_count:
        sys.exit(f"{found.num_rows} of the new images are in the cache")
    lake.write("image_features", embedded.rows, [day])
    return {
        "lookup_seconds": lookup_seconds,
        "seconds": time.perf_counter() - started - lookup_seconds,
        "cpu_seconds": cpu_seconds(java) - cpu_started - lookup_cpu,
        "python_mb": peak_megabytes("self"),
        "jvm_mb": peak_megabytes(java),
    }


def cpu_seconds(java: int) -> float:
    """User and system time of this process and its JVM, without the workers."""
    user, system = Path(f"/proc/{java}/stat").read_text().rpartition(") ")[2].split()[11:13]
    return time.process_time() + (int(user) + int(system)) / TICKS


def peak_megabytes(process: str | int) -> float:
    """The peak resident memory of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def make_lake(lake: str, digest: str, day_count: int, image_count: int) -> str:
    """Makes the cache of so many days, indexed, with `images` and `image_features` of as many; describes it."""
    started = time.perf_counter()
    folder, schema = f"{lake}/{TABLE}", parse_schema(CACHE_SCHEMA)
    arrow_schema = to_arrow_schema(schema)
    create_table(folder, Schema.from_json(schema.json()), "backbone")
    past_images = make_images(day_count, PAST_IMAGES)
    past_features = make_features(past_images["image_id"])
    for number in range(day_count):
        rows, day = make_cached(number, image_count, arrow_schema), FIRST_DAY + timedelta(days=number)
        step = -(-image_count // FILES)
        files = [
            write_cached(folder, digest, rows.slice(begin, step), f"{number}-{begin}.parquet")
            for begin in range(0, image_count, step)
        ]
        append_rows(folder, files, {"backbone": digest}, Appended((), image_count, 1.0, {}))
        write_day(lake, "image_features", day, past_features)
        write_day(lake, "images", day, past_images)
    made = time.perf_counter()
    open_index(folder, digest).complete(list_files(DeltaTable(folder), "backbone", [digest]), is_complete=True)
    seconds = time.perf_counter() - made
    return f"{image_count * day_count:,} images cached in {made - started:.0f} s, indexed in {seconds:.1f} s"


def write_day(lake: str, table: str, day: date, rows: pa.Table) -> None:
    """Writes a day in one commit of several files."""
    rows = rows.append_column("day", pa.repeat(pa.scalar(day, pa.date32()), rows.num_rows))
    step = -(-rows.num_rows // FILES)
    parts = [rows.slice(begin, step) for begin in range(0, rows.num_rows, step)]
    write_files(f"{lake}/{table}", str(day), parts, "day")


def make_cached(number: int, count: int, schema: pa.Schema) -> pa.Table:
    """A day's rows of the cache, without the partition column."""
    ids = np.random.default_rng(number).bytes(32 * count).hex()
    vectors = pa.ListArray.from_arrays(np.arange(count + 1) * DIMENSION, np.zeros(count * DIMENSION, np.float32))
    columns = {
        "image_id": pa.array([ids[64 * row : 64 * row + 64] for row in range(count)]),
        "features": vectors.cast(schema.field("features").type),
        "width": pa.repeat(pa.scalar(SIDE, pa.int32()), count),
        "height": pa.repeat(pa.scalar(SIDE, pa.int32()), count),
        "format": pa.repeat("JPEG", count),
        "error": pa.nulls(count, pa.string()),
        "quality_flags": pa.array([[]] * count, schema.field("quality_flags").type),
        "decoder": pa.repeat(DECODER, count),
    }
    return pa.table(columns)


def make_features(ids: pa.ChunkedArray) -> pa.Table:
    """Rows of `image_features`, without their day, that say nothing."""
    schema = to_arrow_schema(parse_schema(SCHEMA))
    nulls = {field.name: pa.nulls(len(ids), field.type) for field in schema if field.name != "day"}
    return pa.table({**nulls, "image_id": ids})


def write_cached(folder: str, digest: str, rows: pa.Table, name: str) -> Row:
    """Writes a file of the cache."""
    path = f"backbone={digest}/{name}"
    file = Path(folder, path)
    file.parent.mkdir(exist_ok=True)
    pq.write_table(rows, file, compression="zstd", row_group_size=GROUP_ROWS)
    return Row(path=path, size=file.stat().st_size, rows=rows.num_rows, value=digest)


def make_images(number: int, count: int) -> pa.Table:
    """Rows of `images`, without their day; every number gives other images."""
    random = np.random.default_rng([number, 1])
    contents = []
    for _ in range(count):
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(file, "JPEG")
        contents.append(file.getvalue())
    columns = {
        "image_id": [sha256(content).hexdigest() for content in contents],
        "path": [f"{number}-{place}.jpg" for place in range(count)],
        "length": pa.array(map(len, contents), pa.int64()),
        "modified_at": pa.repeat(pa.scalar(NOW, pa.timestamp("us", "UTC")), count),
        "content": pa.array(contents, pa.binary()),
        "read_error": pa.nulls(count, pa.string()),
    }
    return pa.table(columns)


if __name__ == "__main__":
    main()
