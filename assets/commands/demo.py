"""The command `make demo`: trains on photos of fruit and predicts three days, with the jobs and instance of the UI."""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pyarrow.dataset as ds
from deltalake import DeltaTable

from assets.commands.demo_photos import DemoError, DemoPhotos, unpack_demo_photos
from assets.definitions import build_definitions
from pipeline.evaluation.hierarchy import SEPARATOR
from resources.instance.day_tags import tag_days
from resources.lake.datasets import open_dataset
from resources.settings import SettingError, Settings, read_settings

LINEAGE = "http://127.0.0.1:3000/asset-groups?expanded=global@global:training,global@global:daily"
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


def main() -> None:
    """Runs the demo and prints its summary."""
    started = time.monotonic()
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--fine", action="store_true", help="varieties as labels below kinds, such as apple/pink-lady")
    options = parser.parse_args()
    try:
        settings = read_settings()
        photos = unpack_demo_photos(settings.landing, options.fine)
    except (SettingError, DemoError) as error:
        sys.exit(str(error))
    settings = settings.replace(training=f"{settings.landing}/training", label_pattern="")
    print(f"{photos.training_count} labelled photos lie in {settings.training}")
    print(f"{len(photos.labels)} photos arrived in {settings.landing}/days on {', '.join(photos.days)}")

    definitions = build_definitions(settings)
    with dg.DagsterInstance.get() as instance:
        print(
            "Training: exporting the backbone, measuring its precisions, embedding, fitting, checking ...", flush=True
        )
        training = run_job(definitions, instance, "training")
        print(f"Predicting {len(photos.days)} days in one run ...", flush=True)
        prediction = run_job(definitions, instance, "daily", photos.days)
    print(summarize(settings, photos, [training, prediction], time.monotonic() - started))


def run_job(
    definitions: dg.Definitions, instance: dg.DagsterInstance, job: str, days: Sequence[str] = ()
) -> dg.ExecuteInProcessResult:
    """Runs a job in this process, all its days in one run; exits with the reason if it fails."""
    resolved, tags = definitions.resolve_job_def(job), tag_days(days)
    result = resolved.execute_in_process(run_config=QUIET, instance=instance, tags=tags, raise_on_error=False)
    if not result.success:
        failed = [check.check_name for check in result.get_asset_check_evaluations() if not check.passed]
        reason = f"these checks failed: {', '.join(failed)}" if failed else "see above"
        sys.exit(f"The run {result.run_id} of {job} failed: {reason}. `make dev` shows it under Runs.")
    return result


def summarize(
    settings: Settings, photos: DemoPhotos, results: Sequence[dg.ExecuteInProcessResult], seconds: float
) -> str:
    """Compares the predictions with the labels of the photos, and lists where to look."""
    training, prediction = results
    (backbone,) = training.asset_materializations_for_node("backbone")
    wanted = ds.field("day").isin([date.fromisoformat(day) for day in photos.days])
    columns = ["day", "path", "predicted_label", "confidence", "decision", "level"]
    folder = str(Path(settings.lake, "predictions"))
    stored = open_dataset(DeltaTable(folder), folder).to_table(columns, wanted)
    predictions = stored.to_pylist()
    right = sum(_is_right(photos, row) for row in predictions)
    rejected = sum(row["decision"] == "rejected" for row in predictions)
    return f"""
  images      {photos.training_count} to learn from, {len(predictions)} predicted in {len(photos.days)} days
  accuracy    {right / len(predictions):.3f} ({right} of {len(predictions)} right)
  promise     {_describe_promise(photos, training, predictions)}
  precision   {backbone.metadata["why"].value}
  speed       {_describe_speed(results)}
  rejected    {rejected}
  drift       {_describe_drift(training, prediction)}
  tables      {settings.lake} (Delta Lake, one folder per asset)
  reports     {settings.lake}/reports (a page to open for every day)
  time        {seconds:.0f} s

Look at it: run `make dev`, then open {LINEAGE}"""


def _is_right(photos: DemoPhotos, row: Mapping[str, Any]) -> bool:
    label, predicted = photos.labels[str(row["day"]), row["path"]], row["predicted_label"]
    return predicted is not None and f"{label}{SEPARATOR}".startswith(f"{predicted}{SEPARATOR}")


def _describe_promise(
    photos: DemoPhotos, training: dg.ExecuteInProcessResult, predictions: Sequence[Mapping[str, Any]]
) -> str:
    """Compares the promised, the estimated and the true share of right answers."""
    answered = [row for row in predictions if row["decision"] == "answered"]
    if not answered:
        return "no prediction was answered"
    target, labels = training.output_for_node("classifier").calibration.target_precision, {*photos.labels.values()}
    estimated = sum(row["confidence"] for row in answered) / len(answered)
    true = sum(_is_right(photos, row) for row in answered) / len(answered)
    share = f"{len(answered) / len(predictions):.0%} answered, the rest waits for a person"
    broader = sum(row["level"] is not None and row["predicted_label"] not in labels for row in answered)
    kinds = f", {broader} of the answers name a kind" if broader else ""
    return f"{target:.0%} of the answers right; estimated {estimated:.1%}, true {true:.1%} ({share}{kinds})"


def _describe_drift(training: dg.ExecuteInProcessResult, prediction: dg.ExecuteInProcessResult) -> str:
    """Describes on how many days a drift check warned, and the holdout accuracy to compare with."""
    reports = prediction.asset_materializations_for_node("daily_report")
    alarmed = sum(cast("int", event.metadata["alarm_count"].value) > 0 for event in reports)
    if not alarmed:
        return f"none, on {len(reports)} days"
    (event,) = training.asset_materializations_for_node("classifier")
    accuracy = cast("float", event.metadata["accuracy"].value)
    days = f"{alarmed} of {len(reports)} days"
    return f"warning on {days}: their photos differ from the labelled ones (holdout accuracy {accuracy:.3f})"


def _describe_speed(results: Sequence[dg.ExecuteInProcessResult]) -> str:
    rates = [
        cast("float", event.metadata["embedded_per_second"].value)
        for result in results
        for asset in ("training_features", "image_features")
        for event in result.asset_materializations_for_node(asset)
        if "embedded_per_second" in event.metadata
    ]
    if not rates:
        return "no image was embedded, all features were in the cache"
    ends = dict.fromkeys(f"{rate:.0f}" for rate in (min(rates), max(rates)))
    return f"{'-'.join(ends)} images a second decoded and embedded"


if __name__ == "__main__":
    main()
