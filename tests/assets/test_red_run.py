"""A red run: its last lines say which check failed, by how much and what to do, on the console and on its page."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from deployment import PROJECT

from assets.definitions import build_definitions
from resources.instance.executor import run_executor
from resources.settings import read_settings

RED = """
import dagster as dg

from resources.instance.executor import run_executor


class LandingError(RuntimeError): ...


@dg.asset
def predictions() -> None: ...


@dg.asset(deps=[predictions])
def report() -> None: ...


@dg.asset
def images() -> None:
    raise LandingError("there is no folder /landing/days/2026-11-20\\n\\tat org.apache.spark.Main(Main.scala)")


@dg.asset_check(asset="predictions", blocking=True)
def rejected_files_are_few() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed={passed}, description="more than 5.0% rejected files: 2026-11-20 (10 of 70)")


@dg.asset_check(asset="predictions")
def the_weather_is_fine() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description="rain")


defs = dg.Definitions([predictions, report, images], asset_checks=[rejected_files_are_few, the_weather_is_fine],
                      executor=run_executor)
"""
CHECK = (
    "predictions: the check rejected_files_are_few failed: more than 5.0% rejected files: 2026-11-20 (10 of 70). Look"
    " at the errors on the page of predictions; launch the day again once its upload is complete, or raise"
    " DAYLIGHT_MAX_REJECTED_SHARE if its files really are broken."
)
ERROR = (
    "LandingError: there is no folder /landing/days/2026-11-20. Wait for the upload, or mark the day as one"
    " without images; then launch the day."
)


@pytest.mark.parametrize(
    ("assets", "passed", "expected"),
    [
        ("predictions,report", False, [CHECK]),
        ("predictions,images", False, [CHECK, ERROR]),
        ("predictions,report", True, []),
    ],
)
def test_the_last_lines_of_a_red_run_say_what_failed_by_how_much_and_the_cure(
    assets: str, passed: bool, expected: list[str], tmp_path: Path
) -> None:
    (tmp_path / "red.py").write_text(RED.replace("{passed}", str(passed)))
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "asset", "materialize", "--select", assets, "-f", "red.py"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == bool(expected), done.stderr
    lines = done.stderr.splitlines()
    found = [line for line in lines if any(each in line for each in (CHECK, ERROR))]
    assert [line.partition(" - ")[2].rpartition(" - ")[2] for line in found] == expected
    if expected:
        assert "RUN_FAILURE" in lines[lines.index(found[-1]) + 1]
        assert len(lines) - lines.index(found[0]) <= 5, "the rest is no stack trace"
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        (run,) = instance.get_runs()
        logged = [entry for entry in instance.all_logs(run.run_id) if not entry.is_dagster_event]
    errors = [entry.user_message for entry in logged if entry.level == logging.ERROR]
    assert errors[len(errors) - len(expected) :] == expected


def test_all_jobs_explain_why_they_are_red() -> None:
    jobs = build_definitions(read_settings()).get_repository_def().get_all_jobs()
    assert jobs
    assert {job.executor_def for job in jobs} == {run_executor}
