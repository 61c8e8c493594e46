"""Progress: long work logs a line at each tenth, with the time left."""

import time

import dagster as dg
import pytest
from pyspark.sql import SparkSession

from resources.spark import progress
from resources.spark.progress import JobProgress, format_seconds, log_progress
from resources.spark.session import SparkResource


def test_every_tenth_is_logged_once_with_the_time_left() -> None:
    job = JobProgress(100.0)
    assert job.describe(3, 40, 110.0) is None
    assert job.describe(16, 40, 120.0) == "40 % (16 of 40 tasks), about 30 s left"
    assert job.describe(19, 40, 130.0) is None
    assert job.describe(20, 40, 140.0) == "50 % (20 of 40 tasks), about 40 s left"


def test_short_work_logs_nothing() -> None:
    job = JobProgress(100.0)
    assert job.describe(20, 40, 104.0) is None
    assert job.describe(40, 40, 200.0) is None
    assert JobProgress(100.0).describe(0, 0, 200.0) is None


@pytest.mark.parametrize(("seconds", "text"), [(38.4, "38 s"), (300, "5 min"), (9000, "2.5 h")])
def test_durations_have_the_unit_that_fits(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_work_of_many_short_jobs_is_logged_by_its_step(
    spark: SparkSession, spark_resource: SparkResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.1)

    @dg.asset
    def fitted(context: dg.AssetExecutionContext, spark: SparkResource) -> None:
        report = log_progress(context, "fits")
        for done in (1, 2, 3, 4):
            time.sleep(0.2)
            report(done, 4)

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([fitted], resources={"spark": spark_resource}, instance=instance)
        lines = [log.user_message for log in instance.all_logs(result.run_id) if log.step_key == "fitted"]
    logged = [line for line in lines if "fits" in line]
    assert [line.partition(",")[0] for line in logged] == [
        "20 % (1 of 4 fits)",
        "50 % (2 of 4 fits)",
        "70 % (3 of 4 fits)",
    ]


def test_a_long_spark_job_is_logged_in_its_run_under_its_step(
    spark: SparkSession, spark_resource: SparkResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.5)

    def wait(batches):
        time.sleep(0.4)
        yield from batches

    @dg.op
    def embed(spark: SparkResource) -> None:
        spark.spark_session.range(20, numPartitions=20).mapInPandas(wait, "id long").collect()

    @dg.job(executor_def=dg.in_process_executor, resource_defs={"spark": spark_resource})
    def slow() -> None:
        embed()

    with dg.DagsterInstance.ephemeral() as instance:
        result = slow.execute_in_process(instance=instance)
        lines = [log.user_message for log in instance.all_logs(result.run_id)]
    logged = [line for line in lines if line.startswith("embed: ")]
    assert 2 <= len(logged) <= 9
    assert "of 20 tasks), about" in logged[0]
    assert not any(thread.name == "progress" for thread in progress.threading.enumerate())
