"""The sensor `ended_runs`: finds red runs, failed checks and refused candidates in the runs that ended."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Final

import dagster as dg

from resources.instance.alerts import Alerts
from resources.instance.cures import find_cure
from resources.instance.day_tags import read_ends
from resources.instance.ended_runs import EndedRun, blocks, list_ended, read_ended
from resources.instance.run_attempts import has_newer_attempt, root_of, will_be_retried
from resources.notify.message import Kind
from resources.settings import Settings

CANDIDATE: Final = "classifier_candidate"
JUDGED_BY_THE_CLOCK: Final = "every_due_day_has_predictions"  # the sensor missing_day reports it
RETRY_PATIENCE: Final = timedelta(minutes=10)  # until a retry that Dagster announced must be there
KINDS: Final = (dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_SUCCESS)


def report_ended_runs(context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]) -> dg.SensorResult:
    """Writes a message about each red run, failed check and refused candidate since the last tick.

    A run that Dagster retries by itself is reported if the retry fails too, or never comes. A run of a single day that
    has not ended yet is not reported.
    """
    state, now = json.loads(context.cursor or "{}"), datetime.now(UTC)
    alerts, instance, awaited = Alerts(context.instance, settings), context.instance, state.get("awaited", [])
    after = {}
    for kind in KINDS:
        found, after[kind.value] = list_ended(instance, kind, state.get(kind.value))
        for ended in found:
            if is_open(ended, settings):
                continue
            report_checks(alerts, ended)
            awaited += [ended.run.run_id] if will_be_retried(ended.run) else []
            if ended.is_red and not will_be_retried(ended.run):
                report_failure(alerts, ended)
    left = []
    for ended in (each for run_id in awaited for each in read_ended(instance, run_id)):
        if has_newer_attempt(instance, ended.run):
            continue
        if now - ended.when < RETRY_PATIENCE:
            left.append(ended.run.run_id)
        else:
            report_failure(alerts, ended)
    return dg.SensorResult(skip_reason="no run to start", cursor=json.dumps({**after, "awaited": left}))


def is_open(ended: EndedRun, settings: Settings) -> bool:
    """Whether the day of a run had not ended by then; the run after its end is reported."""
    first, last = read_ends(ended.run.tags)
    return bool(first) and first == last and not settings.due_days.is_over(date.fromisoformat(first), ended.when)


def report_checks(alerts: Alerts, ended: EndedRun) -> None:
    """Writes a message about each failed check that did not stop its run."""
    for check in ended.failed_checks:
        if blocks(check) or check.check_name == JUDGED_BY_THE_CLOCK:
            continue
        asset = check.asset_key.to_user_string()
        alerts.post(
            Kind.FAILED_CHECK,
            (asset, check.check_name, root_of(ended.run)),
            title=f"The check {check.check_name} of {asset} failed{_for(ended)}",
            what=check.description or "the check gave no reason",
            when=ended.when,
            day=ended.days,
            cure=find_cure(check.check_name),
            page=f"assets/{asset}?view=checks&checkDetail={check.check_name}",
        )


def report_failure(alerts: Alerts, ended: EndedRun) -> None:
    """Writes a message about a refused candidate, or about a red run that failed for another reason too."""
    stops = [check for check in ended.failed_checks if blocks(check)]
    refusals = [check for check in stops if check.asset_key.path[-1] == CANDIDATE]
    if refusals:
        alerts.post(
            Kind.REFUSED_CANDIDATE,
            (root_of(ended.run),),
            title=f"The gate refused a candidate{_of(refusals[0].asset_key)}",
            what="; ".join(f"{check.check_name}: {check.description}" for check in refusals),
            when=ended.when,
            cure=find_cure(refusals[0].check_name),
            page=f"assets/{refusals[0].asset_key.to_user_string()}?view=checks&checkDetail={refusals[0].check_name}",
        )
    others = [(check.check_name, check.description or "it gave no reason") for check in stops if check not in refusals]
    reasons = [*ended.errors, *others]
    if reasons or not refusals:
        name, text = reasons[0] if reasons else ("RunCrashed", ended.reason or "its process ended")
        more = f" (and {len(reasons) - 1} more failures)" if len(reasons) > 1 else ""
        alerts.post(
            Kind.RED_RUN,
            (root_of(ended.run),),
            title=f"The run of {ended.job}{_for(ended)} failed",
            what=(text if text.startswith(name) or not reasons else f"{name}: {text}") + more,
            when=ended.when,
            day=ended.days,
            cure=find_cure(name),
            page=f"runs/{ended.run.run_id}",
        )


def _of(asset: dg.AssetKey) -> str:
    """Names the question of an asset, unless it is that of the deployment."""
    return f" of {asset.path[0]}" if len(asset.path) > 1 else ""


def _for(ended: EndedRun) -> str:
    return f" for {ended.days}" if ended.days else ""
