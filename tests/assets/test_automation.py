"""Automation: labels start one training, a promotion predicts the days asked for, and nothing loops."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from assets.automation import INTERVAL_SECONDS
from assets.definitions import build_definitions
from pipeline.reviews.answers import Answer, Key
from resources.question import Automation, Question
from resources.review.answer_log import AnswerLog
from resources.settings import Settings, read_settings

NOW = datetime(2026, 11, 30, 8, tzinfo=UTC)
DAYS = [date(2026, 11, 24) + timedelta(days=number) for number in range(6)]
ASKED = {"2026-11-28", "2026-11-29"}
TRAINING = {
    *("reviews", "training_images", "training_features", "near_duplicates", "training_split"),
    *("classifier_candidate", "classifier", "label_issues"),
}
DAILY = {"difficulty", "predictions", "drift", "review_queue", "review_form", "daily_report"}


class Day:
    """A deployment whose sensor ticks, and whose runs succeed at once."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, automation: Automation) -> None:
        self.question = Question(settings, "damage", automation=automation)
        self.definitions = build_definitions(settings, [self.question])
        self.instance, self.cursor, self.now = instance, None, NOW
        self.version, self.requested = 1, list[tuple[set[str], set[str]]]()
        self.home, self.answers = Path(settings.lake, "damage"), list[Answer]()

    def tick(self, seconds: int = INTERVAL_SECONDS) -> tuple[set[str], set[str]]:
        """Evaluates once; returns the names of the requested assets, and the days."""
        self.now += timedelta(seconds=seconds)
        result = dg.evaluate_automation_conditions(
            self.definitions, self.instance, cursor=self.cursor, evaluation_time=self.now
        )
        self.cursor = result.cursor
        names, days = set[str](), set[str]()
        for key in self.definitions.resolve_asset_graph().get_all_asset_keys():
            if result.get_num_requested(key):
                names.add(key.path[-1])
                days |= {day for day in result.get_requested_partitions(key) if day}
        if names:
            self.requested.append((names, days))
        return names, days

    def train(self) -> None:
        """Does what a training does: reads the answers, and promotes a classifier."""
        ids = sorted({answer.key.image_id for answer in self.answers})
        write_deltalake(self.home / "reviews", pa.table({"image_id": ids}), mode="overwrite")
        self.version += 1
        for name in TRAINING:
            tags = {"dagster/data_version": f"v{self.version}"}
            self.instance.report_runless_asset_event(dg.AssetMaterialization(["damage", name], tags=tags))

    def predict(self, days: set[str]) -> None:
        for name in DAILY:
            for day in days:
                self.instance.report_runless_asset_event(dg.AssetMaterialization(["damage", name], partition=day))

    def answer(self, count: int) -> None:
        log = AnswerLog(str(self.home))
        known = len(self.answers)
        new = [
            Answer(Key(DAYS[0], f"{number:064x}"), "torn", "anna", self.now, f"{number}")
            for number in range(known, known + count)
        ]
        log.append(new)
        log.close()
        self.answers += new


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    days = pa.table({"day": pa.array(DAYS, pa.date32()), "image_id": [str(day) for day in DAYS]})
    write_deltalake(tmp_path / "lake" / "images", days, partition_by="day")
    (tmp_path / "landing" / "training" / "torn").mkdir(parents=True)
    landing = tmp_path / "landing"
    return read_settings().replace(
        landing=str(landing), training=str(landing / "training"), lake=str(tmp_path / "lake")
    )


@pytest.mark.parametrize("seconds", [3600, pytest.param(INTERVAL_SECONDS, marks=pytest.mark.slow)])
def test_answers_start_one_training_and_its_promotion_the_days_asked_for(
    instance: dg.DagsterInstance, settings: Settings, seconds: int
) -> None:
    day = Day(settings, instance, Automation(reviews=20, repredicted_days=2))
    assert day.tick() == (set(), set())
    day.answer(19)
    assert day.tick() == (set(), set())
    day.answer(1)
    assert day.tick() == (TRAINING, set())
    day.train()
    assert day.tick() == (DAILY, ASKED)
    day.predict(ASKED)
    for _ in range(24 * 3600 // seconds):
        day.tick(seconds)
    assert len(day.requested) == 2, "nothing loops"


def test_a_training_that_fails_is_not_started_again_by_the_same_labels(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    day = Day(settings, instance, Automation(reviews=5))
    day.answer(5)
    assert day.tick() == (TRAINING, set())
    for _ in range(20):
        assert day.tick() == (set(), set())


def test_a_schedule_starts_a_training_once_at_its_time(instance: dg.DagsterInstance, settings: Settings) -> None:
    day = Day(settings, instance, Automation(schedule="0 9 * * *"))
    for _ in range(24):
        if day.tick(3600)[0]:
            day.train()
    assert day.requested == [(TRAINING, set())]


def test_labelled_files_start_a_training(instance: dg.DagsterInstance, settings: Settings) -> None:
    day = Day(settings, instance, Automation(images=3))
    folder = Path(settings.training, "torn")
    for number in range(3):
        assert day.tick() == (set(), set())
        (folder / f"{number}.jpg").write_bytes(b"an image")
    assert day.tick() == (TRAINING, set())


def test_a_training_with_the_same_result_predicts_nothing_again(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    day = Day(settings, instance, Automation(repredicted_days=2))
    day.train()
    day.tick()
    day.version -= 1
    day.train()
    assert day.tick() == (set(), set())


def test_a_question_that_asks_for_nothing_has_no_sensor(settings: Settings) -> None:
    definitions = build_definitions(settings, [Question(settings, "damage")])
    assert not [each for each in definitions.get_repository_def().sensor_defs if "automation" in each.name]


def test_the_sensor_asks_for_a_training_with_its_checks_and_for_all_days_at_once(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    day = Day(settings, instance, Automation(reviews=1, repredicted_days=2))
    repository = day.definitions.get_repository_def()

    def evaluate(cursor: str | None) -> dg.SensorResult:
        with dg.build_sensor_context(instance, cursor, repository_def=repository) as context:
            return repository.get_sensor_def("damage_automation")(context)

    first = evaluate(None)
    assert not first.run_requests
    day.answer(1)
    second = evaluate(first.cursor)
    (training,) = second.run_requests
    assert {key.path[-1] for key in training.asset_selection} == TRAINING
    assert training.asset_check_keys is None, "all checks of these assets run too"
    day.train()
    third = evaluate(second.cursor)
    (backfill,) = third.run_requests
    asked = backfill.asset_graph_subset
    assert {key.path[-1] for key in asked.asset_keys} == DAILY
    assert set(asked.get_partitions_subset(dg.AssetKey(["damage", "predictions"])).get_partition_keys()) == ASKED


def test_the_sensor_is_off_until_somebody_switches_it_on(settings: Settings) -> None:
    definitions = build_definitions(settings, [Question(settings, "damage", automation=Automation(repredicted_days=2))])
    sensors = {each.name: each for each in definitions.get_repository_def().sensor_defs}
    assert sensors["damage_automation"].default_status == dg.DefaultSensorStatus.STOPPED
    assert "default_automation_condition_sensor" not in sensors
