"""Progress: what is told of a Spark job while it runs, where, and how often."""

import time

import dagster as dg
import pytest
from pyspark.sql import SparkSession

from resources.spark import progress
from resources.spark.progress import JobProgress, format_seconds, log_progress
from resources.spark.session import SparkResource


def test_every_tenth_is_told_once_with_the_time_left() -> None:
    job = JobProgress(100.0)
    assert job.tell(3, 40, 110.0) is None
    assert job.tell(16, 40, 120.0) == "40 % (16 of 40 tasks), about 30 s left"
    assert job.tell(19, 40, 130.0) is None
    assert job.tell(20, 40, 140.0) == "50 % (20 of 40 tasks), about 40 s left"


def test_what_is_over_soon_is_not_told_of() -> None:
    job = JobProgress(100.0)
    assert job.tell(20, 40, 104.0) is None
    assert job.tell(40, 40, 200.0) is None
    assert JobProgress(100.0).tell(0, 0, 200.0) is None


@pytest.mark.parametrize(("seconds", "told"), [(38.4, "38 s"), (300, "5 min"), (9000, "2.5 h")])
def test_time_left_is_told_as_people_say_it(seconds: float, told: str) -> None:
    assert format_seconds(seconds) == told


def test_work_of_many_short_jobs_is_told_of_in_the_step_that_does_it(
    spark: SparkSession, spark_resource: SparkResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.1)
    tags = []

    @dg.asset
    def fitted(context: dg.AssetExecutionContext, spark: SparkResource) -> None:
        tell = log_progress(context, "fits")
        for done in (1, 2, 3, 4):
            time.sleep(0.2)
            tell(done, 4)
            tags.append(context.instance.get_run_by_id(context.run.run_id).tags["progress"])

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([fitted], resources={"spark": spark_resource}, instance=instance)
        lines = [log.user_message for log in instance.all_logs(result.run_id) if log.step_key == "fitted"]
        run = instance.get_run_by_id(result.run_id)
    told = [line for line in lines if "fits" in line]
    assert [line.partition(",")[0] for line in told] == [
        "20 % (1 of 4 fits)",
        "50 % (2 of 4 fits)",
        "70 % (3 of 4 fits)",
    ]
    assert tags[0] == "fitted 20 %"
    assert run is not None
    assert run.tags["progress"] == "ended"


def test_a_long_spark_job_is_told_of_in_the_run_that_it_is_part_of(
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
        run = instance.get_run_by_id(result.run_id)
    told = [line for line in lines if line.startswith("embed: ")]
    assert 2 <= len(told) <= 9
    assert "of 20 tasks), about" in told[0]
    assert run is not None
    assert run.tags["progress"] == "ended"
    assert not any(thread.name == "progress" for thread in progress.threading.enumerate())
