"""The run queue under `make dev`: which runs wait, what a killed run leaves, and which are retried."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster_site import Site, is_alive
from deployment import DAY, NEXT_DAY, Deployment, command_of, descendants

pytestmark = pytest.mark.ui
"""These tests need a live Dagster, like those of the browser."""

RUN_SECONDS = 240
WAITING = ("QUEUED", "NOT_STARTED")


@pytest.fixture(scope="module")
def site(trained: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A live Dagster with its own instance, over a lake with a classifier."""
    with Site(trained.copy(tmp_path_factory.mktemp("queue"))) as site:
        yield site


def wait_for(site: Site, run_id: str, *statuses: str) -> str:
    site.wait_until(lambda: site.pages.status_of(run_id) in statuses, f"{run_id} is not {statuses}", RUN_SECONDS)
    return site.pages.status_of(run_id)


def worker_of(site: Site, run_id: str) -> int:
    """Finds the process of a run."""
    messages = [event["message"] for event in site.pages.events_of(run_id, "EngineEvent")]
    pid = next(int(message.split("pid: ")[1].rstrip(").")) for message in messages if "Started process" in message)
    assert pid in descendants(site.process.pid), command_of(pid)
    return pid


def children_of(run: str, site: Site) -> list[dict]:
    return [each for each in site.pages.list_runs() if each["parentRunId"] == run]


def test_a_second_run_with_spark_waits_and_housekeeping_does_not(site: Site) -> None:
    first = site.pages.launch_run("images", day=DAY)
    wait_for(site, first, "STARTED")
    second = site.pages.launch_run("images", day=NEXT_DAY)
    third = site.pages.launch_run(job="housekeeping")
    wait_for(site, third, "SUCCESS")
    assert site.pages.status_of(second) in (*WAITING, "STARTING", "STARTED")
    assert wait_for(site, first, "SUCCESS", "FAILURE") == "SUCCESS"
    assert wait_for(site, second, "SUCCESS", "FAILURE") == "SUCCESS"
    ended, started = times_of(site, first)[1], times_of(site, second)[0]
    assert started >= ended


def times_of(site: Site, run_id: str) -> tuple[float, float]:
    """Returns start and end of a run, in seconds since the epoch."""
    answer = site.query("query($id: ID!) { runOrError(runId: $id) { ... on Run { startTime endTime } } }", id=run_id)
    return answer["runOrError"]["startTime"], answer["runOrError"]["endTime"]


def test_a_killed_run_is_retried_once_and_frees_its_slot(site: Site) -> None:
    killed = site.pages.launch_run("images", "image_features", "predictions", day=DAY)
    wait_for(site, killed, "STARTED")
    site.wait_until(lambda: site.pages.events_of(killed, "ExecutionStepStartEvent"), "no step began")
    os.kill(worker_of(site, killed), signal.SIGKILL)
    wait_for(site, killed, "FAILURE")
    site.wait_until(lambda: children_of(killed, site), "it was not retried")
    (retry,) = children_of(killed, site)
    assert wait_for(site, retry["runId"], "SUCCESS", "FAILURE") == "SUCCESS"


def test_a_day_that_fails_a_check_is_not_retried(site: Site) -> None:
    folder = Path(site.deployment.folder(NEXT_DAY))
    for number in range(10):
        (folder / f"bad {number}.jpg").write_bytes(b"no image")
    refused = site.pages.launch_run("images", "image_features", "predictions", "review_queue", day=NEXT_DAY)
    assert wait_for(site, refused, "SUCCESS", "FAILURE") == "FAILURE"
    after = site.pages.launch_run("images", day=DAY)
    assert wait_for(site, after, "SUCCESS", "FAILURE") == "SUCCESS"
    assert not children_of(refused, site)


def test_a_run_continues_when_make_dev_ends_and_is_shown_by_the_next_one(site: Site) -> None:
    run_id = site.pages.launch_run("images", day=DAY)
    wait_for(site, run_id, "STARTED")
    worker = worker_of(site, run_id)
    site.process.send_signal(signal.SIGTERM)
    site.process.wait(60)
    assert f"{run_id}  __ASSET_JOB" in site.log.read_text()
    assert is_alive(worker)
    deadline = time.monotonic() + RUN_SECONDS
    while site.left() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not site.left(), "the code server ends when it has no run"
    site.start()
    assert site.pages.status_of(run_id) == "SUCCESS"
