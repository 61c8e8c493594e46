"""When: a job to train, a job for a day, and the schedule that runs yesterday's day every morning."""

from datetime import timedelta

import dagster as dg

training = dg.define_asset_job(
    "training",
    dg.AssetSelection.groups("training"),
    description="From labelled pictures to the promoted classifier.",
)

daily = dg.define_asset_job(
    "daily",
    dg.AssetSelection.groups("daily"),
    description="From the files of a day, or of many days in one run, to their predictions.",
)

bake_off = dg.define_asset_job(
    "bake_off",
    dg.AssetSelection.assets("training_images", "contenders"),
    description="Backbones compared on the labelled pictures: accuracy, speed, price.",
)


@dg.schedule(job=daily, cron_schedule="15 4 * * *", execution_timezone="UTC")
def every_morning(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Predicts yesterday's pictures at 04:15 UTC."""
    yesterday = (context.scheduled_execution_time - timedelta(days=1)).date().isoformat()
    return dg.RunRequest(run_key=yesterday, partition_key=yesterday)
