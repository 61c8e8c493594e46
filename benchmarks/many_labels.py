"""Many labels: training and a day with thousands of labels against the same with ten of them, on generated vectors.

    python -m benchmarks.many_labels
    python -m benchmarks.many_labels --labels 220 --few 3 --per-label 8 --dimension 16 --day 50

Each measurement is a process of its own. Memory is the largest sum over all its processes of what they do not share.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from benchmarks.processes import run_command
from benchmarks.sampler import MemoryOfAll
from pipeline.daily.daily_report import DayTables, make_reports
from pipeline.daily.daily_report_page import render_page
from pipeline.daily.day_samples import predict_samples
from pipeline.daily.difficulty import estimate_difficulty
from pipeline.daily.difficulty_table import store_difficulties
from pipeline.daily.predictions import predict_images
from pipeline.daily.predictions_page import describe_predictions
from pipeline.drift.comparison import SCHEMA as DRIFT_SCHEMA
from pipeline.drift.image_drift import DAY_LIMIT
from pipeline.drift.label_shift import compare_labels
from pipeline.embed.file_kinds import DECODER
from pipeline.evaluation.calibration import soften_predictions
from pipeline.evaluation.gate_rules import Candidate, judge_calibration, judge_classes, judge_vanished
from pipeline.evaluation.label_issues import rank_labels
from pipeline.reviews.review_queue import SCHEMA as QUEUE_SCHEMA
from pipeline.similarity.samples import sample_days
from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.local_frames import make_frame
from pipeline.storage.stored_rows import StoredFile, StoredRows
from pipeline.training.classifier import predict_holdout
from pipeline.training.classifier_fit import fit_classifier
from pipeline.training.classifier_report import describe_classifier
from pipeline.training.params import ClassifierParams
from resources.lake.lake import Lake
from resources.models.store import ModelStore
from resources.spark.session import SparkResource

DAY: Final = date(2026, 11, 20)
NOISE: Final = 4.0
"""Deviation of a feature within a label, as a multiple of that between labels."""

HOLDOUT_EVERY: Final = 5
LIMIT_SECONDS: Final = 7200.0
ROW_GROUP: Final = 4096


def main() -> None:
    """Prints one row per measurement, then the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=5_000)
    parser.add_argument("--few", type=int, default=10, help="labels of the comparison")
    parser.add_argument("--per-label", type=int, default=20, help="images of each label, a fifth of them holdout")
    parser.add_argument("--dimension", type=int, default=1_280)
    parser.add_argument("--day", type=int, default=10_000, help="images of the day")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--step", help="internal: a step to run in this process")
    parser.add_argument("--folder", type=Path, help="internal: its folder")
    options = parser.parse_args()
    if options.step:
        steps = {"prepare": prepare, "train": train, "day": predict_day, "reference": fit_reference}
        print(json.dumps(steps[options.step](options)))
        return
    with tempfile.TemporaryDirectory() as root:
        compare(options, Path(root))


def compare(options: argparse.Namespace, root: Path) -> None:
    """Runs all steps with few and with many labels, and prints the medians of the rounds."""
    results: dict[tuple[str, int], list[dict[str, float]]] = {}
    print("| step | labels | wall s | CPU-s | MiB of all processes | more |\n| --- | --- | --- | --- | --- | --- |")
    for count in (options.few, options.labels):
        run_step("prepare", count, options, root)
    for _ in range(options.rounds):
        for step in ("train", "day"):
            for count in (options.few, options.labels):
                results.setdefault((step, count), []).append(run_step(step, count, options, root))
    reference = run_step("reference", options.labels, options, root)

    def ratio(step: str, name: str) -> float:
        few, many = (np.median([each[name] for each in results[step, n]]) for n in (options.few, options.labels))
        return float(many / few)

    accuracy = results["train", options.labels][0]["accuracy"]
    print(f"training: {ratio('train', 'cpu'):.1f} times the CPU-seconds, {ratio('train', 'wall'):.1f} times the time")
    print(f"a day: {ratio('day', 'cpu'):.2f} times the CPU-seconds, {ratio('day', 'wall'):.2f} times the time")
    print(f"bytes a row of predictions: {ratio('day', 'row_bytes'):.2f} times")
    print(f"accuracy {accuracy:.4f}, scikit-learn {reference['accuracy']:.4f}")


def run_step(step: str, label_count: int, options: argparse.Namespace, root: Path) -> dict[str, float]:
    """Runs a step in a process of its own, and returns what it printed, with its costs."""
    folder = root / str(label_count)
    folder.mkdir(exist_ok=True)
    sizes = {name: getattr(options, name.replace("-", "_")) for name in ("per-label", "dimension", "day")}
    command = [sys.executable, "-m", "benchmarks.many_labels", "--step", step, "--folder", str(folder)]
    command += ["--labels", str(label_count), *(text for name, n in sizes.items() for text in (f"--{name}", str(n)))]
    log = folder / f"{step}.log"
    with MemoryOfAll() as memory:
        cost = run_command(command, os.cpu_count() or 1, os.environ, log, LIMIT_SECONDS)
    found = json.loads(log.read_text().splitlines()[-1])
    more = ", ".join(f"{name} {value:,.4g}" for name, value in found.items())
    costs = {"wall": cost.wall_seconds, "cpu": cost.cpu_seconds, "mebibytes": memory.peak_mebibytes}
    cells = [step, f"{label_count:,}", *(f"{value:,.1f}" for value in costs.values()), more]
    print(f"| {' | '.join(cells)} |", flush=True)
    return {**costs, **found}


def prepare(options: argparse.Namespace) -> dict[str, Any]:
    """Writes labelled features and those of a day as Parquet."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(options.labels, options.dimension)).astype(np.float32)
    numbers = np.repeat(np.arange(options.labels), options.per_label)
    alone = np.arange(len(numbers)) % HOLDOUT_EVERY == 0
    columns = {
        "label": [f"article {number:05}" for number in numbers],
        "split": np.where(alone, "holdout", "train").tolist(),
        "path": [f"{number}.jpg" for number in range(len(numbers))],
    }
    write_vectors(options.folder / "features.parquet", centres, numbers, columns, random)
    today = random.integers(0, options.labels, options.day)
    columns = {"path": [f"{number}.jpg" for number in range(options.day)], "day": [DAY] * options.day}
    write_vectors(options.folder / "day.parquet", centres, today, columns, random)
    return {}


def write_vectors(
    file: Path, centres: np.ndarray, numbers: np.ndarray, columns: dict[str, Any], random: np.random.Generator
) -> None:
    """Writes vectors around the centres of these labels, in the columns of features and the given ones."""
    ids = pa.array([f"{random.bytes(32).hex()}" for _ in numbers])
    table = pa.table({"image_id": ids, **columns})
    table = table.append_column("backbone", pa.array(["generated"] * len(numbers)))
    table = table.append_column("decoder", pa.array([DECODER] * len(numbers)))
    vectors = pa.list_(pa.float32())
    with pq.ParquetWriter(file, table.schema.append(pa.field("features", vectors))) as writer:
        for start in range(0, len(numbers), ROW_GROUP):
            rows = numbers[start : start + ROW_GROUP]
            noise = random.normal(0, NOISE, (len(rows), centres.shape[1])).astype(np.float32)
            part = table.slice(start, ROW_GROUP)
            writer.write_table(part.append_column("features", pa.array(list(centres[rows] + noise), vectors)))


def open_store(options: argparse.Namespace) -> tuple[SparkSession, ModelStore]:
    """Starts Spark as a deployment does, and opens the store in the folder."""
    resource = SparkResource(master="local[*]", spark_config={})
    return resource.spark_session, ModelStore(lake=Lake(root=str(options.folder)), spark=resource)


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Fits, evaluates, stores, judges and describes a candidate."""
    spark, store = open_store(options)
    started = time.perf_counter()
    features = spark.read.parquet(str(options.folder / "features.parquet"))
    fitted = fit_classifier(features, ClassifierParams("auto"))
    store.save("classifier", fitted)
    holdout = predict_holdout(features, fitted)
    candidate = Candidate(fitted.version, holdout, 1.0, None, fitted.report["train_count"])
    verdicts = (
        judge_classes(candidate, None, 0),
        judge_vanished(candidate, None, ()),
        judge_calibration(candidate, None, 0.05),
    )
    easiest = soften_predictions(store.read_cross_fits(fitted.version)[0], fitted.calibration.temperature)
    nothing = make_frame(spark, parse_schema("image_id string, near_duplicate_id string"))
    doubted = rank_labels(features.select("image_id", "path", "label"), nothing, [holdout, easiest])
    doubted.where("rank <= 24").collect()
    page = describe_classifier(fitted)
    return {
        "seconds": time.perf_counter() - started,
        "accuracy": fitted.report["accuracy"],
        "calibration_error": fitted.report["reliability"]["calibration_error"],
        "page_kilobytes": sum(map(len, (*page.tables.values(), *page.texts.values()))) / 1000,
        "verdict_kilobytes": sum(len(verdict.message) for verdict in verdicts) / 1000,
    }


def predict_day(options: argparse.Namespace) -> dict[str, Any]:
    """Estimates, predicts, stores, compares, reports and describes a day."""
    spark, store = open_store(options)
    started = time.perf_counter()
    lake, classifier = store.lake, store.open_classifier(store.list_versions("classifier")[0])
    columns = spark.read.parquet(str(options.folder / "day.parquet")).schema
    columns = StructType([*columns, *parse_schema("error string, quality_flags array<string>")])
    features = StoredRows(spark, str(options.folder), columns, (StoredFile("day.parquet", DAY, options.day),))
    sampled = sample_days(features, DAY_LIMIT, classifier.backbone, classifier.decoder)
    samples, levels = predict_samples(spark, sampled, classifier), store.read_cross_fits(classifier.version)
    difficulty = estimate_difficulty(DAY, {DAY: options.day}, samples, classifier, levels)
    settled = store_difficulties([difficulty])
    images = spark.read.parquet(str(options.folder / "day.parquet")).select(
        *("day", "image_id", "path"),
        F.lit(None).cast("string").alias("read_error"),
        F.lit(None).cast("binary").alias("content"),
    )
    lake.write("images", images, [str(DAY)])
    stored_images = lake.read(spark, "images", [str(DAY)])
    lake.write("predictions", predict_images(stored_images, features, classifier, [difficulty]), [str(DAY)])
    stored = lake.read(spark, "predictions", [str(DAY)])
    list(compare_labels([str(DAY)], stored, store.read_evaluation))
    page = describe_predictions(stored_images)(stored)[DAY]
    (report,) = report_day(stored, stored_images, settled.table, store)
    size = sum(file.stat().st_size for file in Path(lake.folder("predictions")).rglob("*.parquet"))
    (options.folder / "predictions").rename(options.folder / f"predictions-{time.time_ns()}")
    return {
        "seconds": time.perf_counter() - started,
        "row_bytes": size / options.day,
        "page_kilobytes": sum(map(len, page.tables.values())) / 1000,
        "report_kilobytes": len(report.encode()) / 1000,
    }


def report_day(predictions: StoredRows, images: StoredRows, difficulty: pa.Table, store: ModelStore) -> Iterator[str]:
    """Renders the report of the day, without a review queue and without drift."""
    queue, drift = (to_arrow_schema(parse_schema(each)).empty_table() for each in (QUEUE_SCHEMA, DRIFT_SCHEMA))
    tables = DayTables(predictions, predictions, queue, images, drift, difficulty)
    return map(render_page, make_reports([str(DAY)], tables, store.read_evaluation, lambda _: None))


def fit_reference(options: argparse.Namespace) -> dict[str, Any]:
    """Fits and scores scikit-learn's discriminant with its own shrinkage on the same vectors, scaled to length 1."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    rows = pq.read_table(options.folder / "features.parquet")
    vectors = np.array(rows["features"].combine_chunks().flatten()).reshape(rows.num_rows, -1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels, is_train = np.array(rows["label"]), np.array(rows["split"]) == "train"
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(vectors[is_train], labels[is_train])
    right = [model.predict(vectors[part]) == labels[part] for part in np.array_split(np.flatnonzero(~is_train), 20)]
    return {"accuracy": float(np.concatenate(right).mean())}


if __name__ == "__main__":
    sys.exit(main())
