"""Alerts of a real daemon that is killed and restarted, before a receiver that is dead at first."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import dagster as dg
import pytest
from deployment import PROJECT
from mailboxes import Webhook, open_webhook

from assets.daily.missing_day import every_due_day_has_predictions
from assets.daily.partitions import days_since
from resources.instance.alerts import open_outbox
from resources.notify.message import Kind
from resources.notify.outbox import DELIVERED, WAITING

TODAY = datetime.now(UTC).date()
PATIENCE_SECONDS = 300


class Daemon:
    """Dagster's daemon on an instance in a folder, with the real code location."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.log = root, root / "daemon.log"
        (root / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
        ours = {"DAYLIGHT_NOTIFY": url, "DAYLIGHT_DEADLINE": "00:00", "DAYLIGHT_LAKE": f"{root}/lake"}
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "PYTHONPATH": str(PROJECT),
            "DAGSTER_HOME": str(root),
            "DAYLIGHT_LANDING": f"{root}/landing",
            **ours,
        }
        self.groups: list[int] = []

    def start(self) -> None:
        program = Path(sys.executable).with_name("dagster-daemon")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [program, "run", "-w", PROJECT / "workspace.yaml"],
                cwd=self.root,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.groups.append(self.process.pid)

    def stop(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(60)

    def clean_up(self) -> None:
        for group in self.groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.wait()

    def wait_until(self, holds: Callable[[], object], otherwise: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"{otherwise}:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.5)


@contextmanager
def some_days_ago(days: int) -> Iterator[None]:
    """Lets Dagster record what happens as if it happened then."""
    now = time.time
    with patch("time.time", lambda: now() - days * 86_400):
        yield


def plant(
    instance: dg.DagsterInstance, asset: str, day: date, *checks: dg.AssetChecksDefinition, **more: object
) -> None:
    @dg.asset(name=asset, partitions_def=days_since(date(2026, 1, 1)))
    def work() -> dg.MaterializeResult:
        if more.get("fails"):
            raise OSError("the disk is full: <b>x</b> AccountKey=SEKRET")
        return dg.MaterializeResult(metadata={"dagster/partition_row_count": 12})

    dg.materialize([work, *checks], instance=instance, partition_key=str(day), raise_on_error=False)


def make_check(asset: str, name: str, blocking: bool) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=asset, name=name, blocking=blocking)
    def judge() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, description="0.7 < 0.8")

    return judge


def plant_runs(instance: dg.DagsterInstance) -> None:
    """Ends three runs: a red one, one with a failed check, and one with a refused candidate."""
    plant(instance, "image_features", TODAY - timedelta(days=20), fails=True)
    plant(instance, "drift", TODAY - timedelta(days=20), make_check("drift", "images_resemble_the_training_set", False))
    candidate = "classifier_candidate"
    plant(instance, candidate, TODAY - timedelta(days=20), make_check(candidate, "candidate_is_calibrated", True))


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with open_webhook() as webhook:
        yield webhook


def test_every_kind_of_message_arrives_twice_with_its_own_id_over_a_kill_and_a_restart(
    tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon(tmp_path, webhook.url)
    monkeypatch.chdir(tmp_path)  # the folders in dagster.yaml are relative
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.get() as instance:
        outbox = open_outbox(instance)
        plant(instance, "predictions", TODAY - timedelta(days=3))  # the two days after it are missing
        with some_days_ago(8):
            for ago in (9, 10):
                plant(instance, "review_form", TODAY - timedelta(days=ago))
        webhook.status = 503
        try:
            daemon.start()
            daemon.wait_until(lambda: cursor_of(instance, "ended_runs"), "the sensor did not tick")
            plant_runs(instance)
            daemon.wait_until(lambda: len(outbox.list_parcels(WAITING)) == 7, "not all was enqueued")
            daemon.wait_until(lambda: any(each.attempts for each in outbox.list_parcels(WAITING)), "none was tried")
            daemon.stop(signal.SIGKILL)
            plant_runs(instance)  # while no daemon runs
            webhook.status = 200
            daemon.start()
            daemon.wait_until(lambda: len(webhook.ids) >= 3, "nothing was delivered")
            daemon.stop(signal.SIGTERM)
            daemon.start()
            daemon.wait_until(lambda: len(outbox.list_parcels(DELIVERED)) == 10, "not all was delivered")
            recorded = instance.get_latest_asset_check_evaluation_record(
                dg.AssetCheckKey(dg.AssetKey("predictions"), every_due_day_has_predictions.name)
            )
            assert recorded
            assert not recorded.evaluation.passed
        finally:
            daemon.clean_up()
    kinds = {body["id"]: body["kind"] for body in webhook.bodies}
    assert Counter(kinds.values()) == {str(kind): 2 for kind in Kind}
    assert set(webhook.ids) == set(kinds)
    written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert not [text for text in written if webhook.url.encode() in text], "the URL is a secret"
    assert not [body for body in webhook.bodies if "SEKRET" in str(body) or "<" in str(body)]


def cursor_of(instance: dg.DagsterInstance, sensor: str) -> str | None:
    states = {state.name: state for state in instance.all_instigator_state()}
    return getattr(states[sensor].instigator_data, "cursor", None) if sensor in states else None
