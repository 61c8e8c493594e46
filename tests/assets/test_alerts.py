"""Alerts: events that people get a message about, once each, and its delivery."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from mailboxes import Webhook, open_webhook
from pydantic import SecretStr

from assets.alerts import build
from assets.alerts.delivery import DeliveryError
from assets.daily.missing_day import make_missing_day
from assets.daily.partitions import days_since
from assets.definitions import build_definitions
from resources.instance.alerts import open_outbox
from resources.instance.cures import CURES, DEFAULT, find_cure
from resources.landing import LandingZone
from resources.notify.message import Message
from resources.notify.outbox import DELIVERED, WAITING
from resources.question import Question
from resources.settings import Settings, read_settings

pytestmark = pytest.mark.slow

DAY = "2026-03-05"
HOSTILE = "<img src=x onerror=alert(1)>\nforged \u202egpj.exe https://hooks.slack.com/services/SEKRET"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path), {"telemetry": {"enabled": False}}) as instance:
        yield instance


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with open_webhook() as webhook:
        yield webhook


@pytest.fixture
def settings(webhook: Webhook, tmp_path: Path) -> Settings:
    landing = str(tmp_path / "landing")
    return read_settings().replace(notify=SecretStr(webhook.url), deadline="00:00", landing=landing)


class Ticks:
    """The sensors, with their cursors, as the daemon evaluates them."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings) -> None:
        self.instance, self.settings = instance, settings
        sensors = [*(build(Question(settings)).sensors or []), make_missing_day(Question(settings))]
        self.sensors = {sensor.name: sensor for sensor in sensors}
        self.cursors: dict[str, str | None] = {}

    def tick(self, name: str) -> dg.SensorResult | dg.SkipReason:
        zone = LandingZone(landing=self.settings.landing, training="")
        context = dg.build_sensor_context(
            self.instance, self.cursors.get(name), resources={"settings": self.settings, "landing_zone": zone}
        )
        with context:
            result = self.sensors[name](context)
        self.cursors[name] = getattr(result, "cursor", None)
        return result

    def waiting(self) -> list[Message]:
        return [parcel.message for parcel in open_outbox(self.instance).list_parcels(WAITING)]


@pytest.fixture
def ticks(instance: dg.DagsterInstance, settings: Settings) -> Ticks:
    """The sensors after a first tick; what happened before it is no news."""
    run(instance, "images", fails=True)
    ticks = Ticks(instance, settings)
    ticks.tick("ended_runs")
    return ticks


def run(
    instance: dg.DagsterInstance,
    asset: str,
    *checks: dg.AssetChecksDefinition,
    fails: bool = False,
    metadata: dict | None = None,
    day: str = DAY,
    **tags: str,
) -> str:
    """Runs an asset of this name; returns the id of the run."""

    @dg.asset(name=asset, partitions_def=days_since(date(2026, 1, 1)))
    def work() -> dg.MaterializeResult:
        if fails:
            raise FileNotFoundError(HOSTILE)
        return dg.MaterializeResult(metadata=metadata)

    keys = {name.replace("_", "/", 1): value for name, value in tags.items()}
    done = dg.materialize([work, *checks], instance=instance, partition_key=day, tags=keys, raise_on_error=False)
    return done.run_id


def make_check(asset: str, name: str, text: str = "0.7 < 0.8", blocking: bool = False) -> dg.AssetChecksDefinition:
    severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN

    @dg.asset_check(asset=asset, name=name, blocking=blocking)
    def judge() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, severity=severity, description=text)

    return judge


def test_a_red_run_is_one_message_with_reason_day_cure_and_links(ticks: Ticks, settings: Settings) -> None:
    page = {"page": dg.MetadataValue.path(f"/lake/reports/{DAY}.html")}
    run(ticks.instance, "daily_report", metadata=page)
    run_id = run(ticks.instance, "predictions", fails=True)
    ticks.tick("ended_runs")
    (message,) = ticks.waiting()
    assert (message.kind, message.day, message.report) == ("red_run", DAY, f"/lake/reports/{DAY}.html")
    assert message.page == f"{settings.ui_url}/runs/{run_id}"
    assert message.cure == DEFAULT
    assert message.title.endswith(f"for {DAY} failed")
    assert message.what.startswith(
        "FileNotFoundError: ‹img src=x onerror=alert(1)› forged gpj.exe https://hooks.slack.com/"
    )
    assert datetime.fromisoformat(message.when) > datetime.now(UTC) - timedelta(minutes=5)
    assert "SEKRET" not in message.to_json()


def test_a_day_that_has_not_ended_raises_no_alert(ticks: Ticks) -> None:
    today = str(datetime.now(UTC).date())
    run(ticks.instance, "images", fails=True, day=today)
    run(ticks.instance, "drift", make_check("drift", "images_resemble_the_training_set"), day=today)
    ticks.tick("ended_runs")
    assert ticks.waiting() == []


def test_a_failed_check_that_stops_nothing_is_a_message(ticks: Ticks) -> None:
    run(ticks.instance, "drift", make_check("drift", "images_resemble_the_training_set", HOSTILE))
    ticks.tick("ended_runs")
    (message,) = ticks.waiting()
    assert (message.kind, message.day) == ("failed_check", DAY)
    assert message.cure == CURES["images_resemble_the_training_set"]
    assert message.page.endswith("assets/drift?view=checks&checkDetail=images_resemble_the_training_set")
    assert not {"<", ">", "\n", "SEKRET"} & set(message.what)
    assert "SEKRET" not in message.what


def test_a_blocking_check_is_the_reason_of_its_red_run(ticks: Ticks) -> None:
    run(ticks.instance, "predictions", make_check("predictions", "rejected_files_are_few", "9 of 60", blocking=True))
    ticks.tick("ended_runs")
    (message,) = ticks.waiting()
    assert (message.kind, message.what) == ("red_run", "rejected_files_are_few: 9 of 60")
    assert message.cure == CURES["rejected_files_are_few"]


def test_a_refused_candidate_is_one_message_and_no_red_run(ticks: Ticks) -> None:
    asset = "classifier_candidate"
    names = ("candidate_is_calibrated", "candidate_finds_every_class")
    run(ticks.instance, asset, *(make_check(asset, name, blocking=True) for name in names))
    ticks.tick("ended_runs")
    (message,) = ticks.waiting()
    assert message.kind == "refused_candidate"
    assert all(f"{name}: 0.7 < 0.8".replace("<", "‹") in message.what for name in names)
    assert "The classifier in use stays" in message.cure


def test_a_candidate_refused_in_a_run_that_failed_otherwise_too_is_both(ticks: Ticks) -> None:
    asset, check = "classifier_candidate", make_check("classifier_candidate", "candidate_is_calibrated", blocking=True)

    @dg.asset(name=asset)
    def candidate() -> None: ...

    @dg.asset
    def reviews() -> None:
        raise ValueError("line 3")

    dg.materialize([candidate, check, reviews], instance=ticks.instance, raise_on_error=False)
    ticks.tick("ended_runs")
    assert {message.kind for message in ticks.waiting()} == {"red_run", "refused_candidate"}


def test_a_killed_daemon_that_finds_a_run_twice_enqueues_it_once(ticks: Ticks) -> None:
    run(ticks.instance, "predictions", fails=True)
    before = dict(ticks.cursors)
    ticks.tick("ended_runs")
    ticks.cursors = before  # the cursor was not stored
    ticks.tick("ended_runs")
    ticks.cursors = {}
    ticks.tick("ended_runs")
    assert len(ticks.waiting()) == 1


@dg.op
def break_down() -> None:
    raise ValueError("again")


@dg.job
def broken() -> None:
    break_down()


def run_again(instance: dg.DagsterInstance, parent: str | None, **tags: str) -> str:
    options = dg.ReexecutionOptions(parent_run_id=parent) if parent else None
    job = dg.reconstructable(broken)
    keys = {name.replace("_", "/", 1): value for name, value in tags.items()}
    return dg.execute_job(job, instance, tags=keys, reexecution_options=options).run_id


def test_a_restart_of_a_run_is_no_new_message(ticks: Ticks) -> None:
    first = run_again(ticks.instance, None)
    ticks.tick("ended_runs")
    run_again(ticks.instance, first)
    ticks.tick("ended_runs")
    assert len(ticks.waiting()) == 1


def test_a_run_that_dagster_retries_is_reported_when_the_retry_failed_too(ticks: Ticks) -> None:
    first = run_again(ticks.instance, None, dagster_will_retry="true")
    ticks.tick("ended_runs")
    assert ticks.waiting() == [], "the retry may be green"
    second = run_again(ticks.instance, first)
    ticks.tick("ended_runs")
    (message,) = ticks.waiting()
    assert message.page.endswith(second)


def test_a_retry_that_never_comes_is_reported(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_again(ticks.instance, None, dagster_will_retry="true")
    ticks.tick("ended_runs")
    monkeypatch.setattr("assets.alerts.ended_runs.RETRY_PATIENCE", timedelta(0))
    ticks.tick("ended_runs")
    (message,) = ticks.waiting()
    assert message.page.endswith(first)
    assert json.loads(ticks.cursors["ended_runs"] or "")["awaited"] == []


def test_a_missing_day_is_one_message_though_an_old_day_is_backfilled(ticks: Ticks) -> None:
    yesterday = str(datetime.now(UTC).date() - timedelta(days=1))
    run(ticks.instance, "predictions", day=str(date.fromisoformat(yesterday) - timedelta(days=40)))
    for _ in range(2):
        ticks.tick("missing_day")
    (message,) = ticks.waiting()
    assert (message.kind, message.day) == ("missing_day", yesterday)
    assert "there was no run for the day" in message.what
    assert "DAYLIGHT_QUIET_DAYS" in message.cure


@pytest.fixture
def queue(ticks: Ticks) -> Callable[[int], None]:
    return lambda count: run(ticks.instance, "review_form", metadata={"dagster/partition_row_count": count}) and None


def test_a_queue_without_any_answer_is_reported_after_days(
    ticks: Ticks, queue: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(12)
    ticks.tick("unanswered_reviews")
    assert ticks.waiting() == [], "it is new"
    monkeypatch.setattr("assets.alerts.unanswered_reviews.timedelta", lambda days: timedelta(0))
    ticks.tick("unanswered_reviews")
    ticks.tick("unanswered_reviews")
    (message,) = ticks.waiting()
    assert (message.kind, message.day) == ("unanswered_reviews", DAY)
    assert message.what.startswith("12 images have waited")


def test_an_answered_queue_an_empty_one_and_review_days_of_zero_are_no_news(
    ticks: Ticks, queue: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assets.alerts.unanswered_reviews.timedelta", lambda days: timedelta(0))
    queue(0)
    ticks.tick("unanswered_reviews")
    queue(12)
    ticks.settings = ticks.settings.replace(review_days=0)
    ticks.tick("unanswered_reviews")
    ticks.settings = ticks.settings.replace(review_days=7)
    reviews = Path(ticks.settings.landing) / "reviews"
    reviews.mkdir(parents=True)
    (reviews / "filled.csv").write_text(f"day,image_id,label\n{DAY},{'0' * 64},cat\n")
    ticks.tick("unanswered_reviews")
    assert ticks.waiting() == []


def test_a_dead_receiver_loses_nothing_and_shows_as_a_red_tick(
    ticks: Ticks, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(ticks.instance, "predictions", fails=True)
    ticks.tick("ended_runs")
    webhook.status = 503
    with pytest.raises(DeliveryError, match=r"HTTP 503 \(0 delivered, 1 waiting, 0 given up\)") as error:
        ticks.tick("delivery")
    assert "SEKRET" not in str(error.value)
    webhook.status = 200
    ticks.tick("delivery")
    assert webhook.bodies == [], "it waits a minute"
    monkeypatch.setattr("resources.notify.outbox.MAX_WAIT", timedelta(0))
    ticks.tick("delivery")
    ticks.tick("delivery")
    assert [body["kind"] for body in webhook.bodies] == ["red_run"]
    assert len(open_outbox(ticks.instance).list_parcels(DELIVERED)) == 1


def test_without_a_receiver_the_sensors_are_off_and_nothing_is_enqueued(instance: dg.DagsterInstance) -> None:
    settings = read_settings()
    silent = Ticks(instance, settings)
    assert {sensor.default_status for sensor in silent.sensors.values()} == {dg.DefaultSensorStatus.STOPPED}
    silent.tick("ended_runs")
    run(instance, "predictions", fails=True)
    silent.tick("ended_runs")
    silent.tick("delivery")
    assert silent.waiting() == []


def test_with_a_receiver_the_sensors_are_on(ticks: Ticks) -> None:
    assert {sensor.default_status for sensor in ticks.sensors.values()} == {dg.DefaultSensorStatus.RUNNING}


def test_every_check_has_its_cure() -> None:
    names = {spec.name for check in build_definitions(read_settings()).asset_checks or [] for spec in check.check_specs}
    assert [name for name in sorted(names) if find_cure(name) == DEFAULT] == []
