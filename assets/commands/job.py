"""The command `daylight-job`: runs a job once in this process, for schedulers other than Dagster's daemon.

daylight-job training
daylight-job daily                            # the day before today
daylight-job daily 2026-11-21 2026-11-22
"""

import argparse
import sys
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import dagster as dg

from assets.definitions import build_definitions
from resources.instance.day_tags import tag_days
from resources.instance.red_run import explain_failures
from resources.settings import SettingError, read_settings

LAST: Final = "last line:"
"""Begins a line of what `red_run.py` logs at the end of a run."""

DAILY: Final = "daily"


def main() -> None:
    """Runs the job and exits with 0, or with 1 after its failures on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=("training", DAILY))
    parser.add_argument("days", nargs="*", type=date.fromisoformat, help="days of the job daily; default: yesterday")
    parser.add_argument("--keep-events", action="store_true", help="in the Dagster instance of DAGSTER_HOME")
    given = parser.parse_args()
    if given.days and given.job != DAILY:
        parser.error("the job training has no days")
    try:
        zone = ZoneInfo(read_settings().time_zone)
        yesterday = datetime.now(zone).date() - timedelta(days=1)
        days = (given.days or [yesterday]) if given.job == DAILY else []
        failures = run_job(given.job, *(day.isoformat() for day in days), is_kept=given.keep_events)
    except SettingError as error:
        failures = str(error)
    if failures is not None:
        sys.exit(failures)


def run_job(name: str, *days: str, is_kept: bool = False) -> str | None:
    """Runs a job over these days in this process; returns its failures and then its last lines, or None.

    Without `is_kept` its events are forgotten.
    """
    job = build_definitions(read_settings()).resolve_job_def(name)
    with dg.DagsterInstance.get() if is_kept else dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, tags=tag_days(days), raise_on_error=False)
    failures = [str(event.step_failure_data.error) for event in result.all_events if event.is_step_failure]
    checks = [check for check in result.get_asset_check_evaluations() if not check.passed]
    failures += [f"{check.check_name}: {check.description}" for check in checks]
    failures += [f"{LAST} {line}" for line in explain_failures(list(result.all_events))]
    return None if result.success else "\n".join(failures)


if __name__ == "__main__":
    main()
