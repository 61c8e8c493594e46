"""The demo: labelled photos of fruit become a classifier, three days of pictures and their predictions.

What a user does in the UI, done once from the shell: it runs the same jobs on the same instance, and says at the end
where to look. The photos are five groups of the Grocery Store Dataset.
"""

import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import cast

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from deltalake import DeltaTable

from assets.commands.demo_photos import DemoError, DemoPhotos, unpack_demo_photos
from assets.definitions import build_definitions
from resources.settings import Settings, read_settings

LINEAGE = "http://127.0.0.1:3000/asset-groups?expanded=global@global:training,global@global:daily"
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


def main() -> None:
    """Runs the demo and prints its summary."""
    started = time.monotonic()
    settings = read_settings()
    try:
        photos = unpack_demo_photos(settings.landing)
    except DemoError as error:
        sys.exit(str(error))
    settings = settings.replace(training=f"{settings.landing}/training", label_pattern="")
    print(f"{photos.training_count} labelled photos lie in {settings.training}")
    print(f"{len(photos.labels)} photos arrived in {settings.landing}/days on {', '.join(photos.days)}")

    definitions = build_definitions(settings)
    with dg.DagsterInstance.get() as instance:
        print(
            "Training: exporting the backbone, measuring its precisions, embedding, fitting, checking ...", flush=True
        )
        trained = run_job(definitions, instance, "training")
        print(f"Predicting {len(photos.days)} days in one run ...", flush=True)
        answered = run_job(definitions, instance, "daily", photos.days)
    print(summarize(settings, photos, [trained, answered], time.monotonic() - started))


def run_job(
    definitions: dg.Definitions, instance: dg.DagsterInstance, job: str, days: Sequence[str] = ()
) -> dg.ExecuteInProcessResult:
    """Runs a job in this process, for many days at once where it has days; leaves with the reason where it fails."""
    tags = {ASSET_PARTITION_RANGE_START_TAG: days[0], ASSET_PARTITION_RANGE_END_TAG: days[-1]} if days else {}
    result = definitions.resolve_job_def(job).execute_in_process(
        run_config=QUIET, instance=instance, tags=tags, raise_on_error=False
    )
    if not result.success:
        failed = [check.check_name for check in result.get_asset_check_evaluations() if not check.passed]
        reason = f"these checks failed: {', '.join(failed)}" if failed else "see above"
        sys.exit(f"The run {result.run_id} of {job} failed: {reason}. `make dev` shows it under Runs.")
    return result


def summarize(
    settings: Settings, photos: DemoPhotos, results: Sequence[dg.ExecuteInProcessResult], seconds: float
) -> str:
    """What came out: the answers of the days against what the photos really show, and where to look."""
    rows = DeltaTable(Path(settings.lake, "predictions")).to_pyarrow_table(
        filters=[("day", "in", [date.fromisoformat(day) for day in photos.days])],
        columns=["day", "path", "predicted_label", "decision"],
    )
    answers = rows.to_pylist()
    right = sum(photos.labels[str(row["day"]), row["path"]] == row["predicted_label"] for row in answers)
    rejected = sum(row["decision"] == "rejected" for row in answers)
    return f"""
  pictures    {photos.training_count} to learn from, {len(answers)} predicted in {len(photos.days)} days
  accuracy    {right / len(answers):.3f} ({right} of {len(answers)} right)
  precision   {_tell_precision(results)}
  speed       {_tell_speed(results)}
  rejected    {rejected}
  drift       {_tell_drift(results)}
  tables      {settings.lake} (Delta Lake, one folder per asset)
  reports     {settings.lake}/reports (a page to open for every day)
  time        {seconds:.0f} s

Look at it: run `make dev`, then open {LINEAGE}"""


def _tell_precision(results: Sequence[dg.ExecuteInProcessResult]) -> str:
    """Which one the backbone has, and why."""
    (event,) = results[0].asset_materializations_for_node("backbone")
    return str(event.metadata["why"].value)


def _tell_drift(results: Sequence[dg.ExecuteInProcessResult]) -> str:
    """On how many days the checks of drift warned, and how good the answers are where there is none."""
    trained, answered = results
    reports = answered.asset_materializations_for_node("daily_report")
    alarmed = sum(cast("int", event.metadata["alarm_count"].value) > 0 for event in reports)
    if not alarmed:
        return f"none, on {len(reports)} days"
    (event,) = trained.asset_materializations_for_node("classifier")
    accuracy = cast("float", event.metadata["accuracy"].value)
    return (
        f"{alarmed} of {len(reports)} days warn: their photos are unlike the labelled ones,"
        f" of whose holdout {accuracy:.3f} were right"
    )


def _tell_speed(results: Sequence[dg.ExecuteInProcessResult]) -> str:
    """How fast the runs embedded, where they did."""
    rates = [
        cast("float", event.metadata["embedded_per_second"].value)
        for result in results
        for asset in ("training_twins", "image_features")
        for event in result.asset_materializations_for_node(asset)
        if "embedded_per_second" in event.metadata
    ]
    if not rates:
        return "no picture was embedded, all features were in the cache"
    ends = dict.fromkeys(f"{rate:.0f}" for rate in (min(rates), max(rates)))
    return f"{'-'.join(ends)} pictures a second decoded and embedded"


if __name__ == "__main__":
    main()
