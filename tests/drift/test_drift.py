"""Drift: days dealt from the training set are calm, days of something else are not, and the page says which and why."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from conftest import MakePhoto
from PIL import Image
from pyspark.sql import DataFrame, SparkSession

from assets.daily import drift
from assets.definitions import build_definitions
from pipeline.daily import predictions
from pipeline.drift.embedding_space import learn_likeness
from pipeline.drift.image_drift import Reference, describe_drift, find_drifts, read_reference
from pipeline.drift.label_shift import compare_mix, count_holdout_answers, describe_mix
from pipeline.drift.permutation_test import Sample, compare_samples, prepare_sample
from pipeline.images import features, labels
from pipeline.images import image_files as images
from pipeline.similarity import principal_axes
from pipeline.storage.schema import parse_schema
from resources.lake.lake import Lake
from resources.settings import read_settings

DIMENSION, KINDS = 24, 6
CALM, NOVEL, SMALL = "2026-11-20", "2026-11-21", "2026-11-22"
BACKBONE = "b" * 64

Deal = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def deal() -> Deal:
    """Deals unit vectors around six centres; of those around a seventh, as many as asked for come last."""
    centres = np.random.default_rng(0).normal(0, 1.5, (KINDS + 1, DIMENSION))

    def make(count: int, seed: int, novel: int = 0, shift: float = 0) -> np.ndarray:
        generator = np.random.default_rng(seed)
        kinds = np.append(generator.integers(0, KINDS, count - novel), np.full(novel, KINDS))
        points = centres[kinds] + generator.normal(0, 1, (count, DIMENSION)) + shift
        return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)

    return make


@pytest.fixture(scope="module")
def train(deal: Deal) -> np.ndarray:
    return deal(600, 1)


@pytest.fixture(scope="module")
def sample(deal: Deal, train: np.ndarray) -> Sample:
    return prepare(train, deal(150, 9))


def prepare(vectors: np.ndarray, aside: np.ndarray) -> Sample:
    """With labels that say no more than the vectors do."""
    return prepare_sample(vectors, name_kinds(vectors), learn_likeness(aside, name_kinds(aside), vectors))


def name_kinds(vectors: np.ndarray) -> list[str]:
    return [f"kind {vector[:KINDS].argmax()}" for vector in vectors]


def compare_with(train: np.ndarray, backbone: str = BACKBONE) -> Reference:
    return Reference(backbone, train, name_kinds(train), learn_likeness(train[:0], name_kinds(train[:0]), train))


def test_days_of_the_same_pictures_are_calm(deal: Deal) -> None:
    p_values = [
        compare_samples(prepare(deal(200, 10 + seed), deal(50, 210 + seed)), deal(60, 110 + seed)).p_value
        for seed in range(40)
    ]
    assert sum(p <= 0.0075 for p in p_values) <= 2
    assert sum(p <= 0.5 for p in p_values) >= 10, "a test that never doubts is none"


def test_a_day_that_is_shifted_as_a_whole_is_told(deal: Deal, sample: Sample) -> None:
    found = compare_samples(sample, deal(150, 2, shift=0.4))
    assert found.p_value == 0.001
    assert found.distance > 5


def test_one_new_picture_in_ten_is_told_and_named(deal: Deal, sample: Sample) -> None:
    found = compare_samples(sample, deal(150, 2, novel=15))
    assert (found.p_value, found.statistic) == (0.001, "crowding")
    assert set(found.order[:12]) <= set(range(135, 150)), "the new ones stand first"
    assert found.crowding[135:].mean() > 2 * found.crowding[:135].mean()


def test_the_same_pictures_give_the_same_answer(deal: Deal, sample: Sample) -> None:
    first, again = (compare_samples(sample, deal(100, 3)) for _ in range(2))
    assert (first.p_value, first.distance) == (again.p_value, again.distance)
    assert np.array_equal(first.order, again.order)


def test_one_picture_sent_a_hundred_times_with_small_changes_is_one_picture(deal: Deal, sample: Sample) -> None:
    noise = np.random.default_rng(4).normal(0, 0.001, (100, DIMENSION)).astype(np.float32)
    burst = np.concatenate([deal(100, 5), deal(1, 6) + noise])
    found = compare_samples(sample, burst)
    assert len(found.order) == 101
    assert np.isnan(found.crowding).sum() == 99
    assert found.p_value > 0.0075


def test_fewer_coordinates_give_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    spread = np.linspace(3, 0.1, 700)
    generator = np.random.default_rng(6)
    first, second = (generator.normal(0, spread, (count, 700)).astype(np.float32) for count in (500, 40))
    second[:6, 400:450] += 3
    few = compare_samples(prepare(first, first), second)
    monkeypatch.setattr(principal_axes, "OWN_DIMENSIONS", 700)
    whole = compare_samples(prepare(first, first), second)
    assert (few.p_value, few.distance) == pytest.approx((whole.p_value, whole.distance), abs=0.01)
    assert set(few.order[:6]) == set(whole.order[:6])


def test_vectors_that_do_not_vary_differ_from_nothing() -> None:
    same = np.ones((30, 4), np.float32) / 2
    assert compare_samples(prepare(same, same), same).p_value == 1
    zeros = np.zeros_like(same)
    assert compare_samples(prepare(zeros, zeros), zeros).p_value == 1


def test_a_mix_dealt_from_the_holdout_is_calm_and_another_one_is_told() -> None:
    generator = np.random.default_rng(7)
    holdout = {"hat": 40, "shoes": 60, "shirt": 240}
    shares = np.array(list(holdout.values())) / sum(holdout.values())
    calm = [
        compare_mix("day", dict(zip(holdout, generator.multinomial(200, shares), strict=True)), holdout)
        for _ in "x" * 40
    ]
    assert sum(mix.is_alarm for mix in calm) <= 1
    shifted = compare_mix("day", {"hat": 24, "shoes": 80, "shirt": 96}, holdout)
    assert shifted.is_alarm
    assert "shoes is 40% of the answers, 18% on the holdout" in shifted.told
    assert shifted == compare_mix("day", {"hat": 24, "shoes": 80, "shirt": 96}, holdout)


def test_a_huge_day_does_not_alarm_at_a_mix_that_hardly_moved() -> None:
    mix = compare_mix("day", {"hat": 52_000, "shoes": 48_000}, {"hat": 50_000, "shoes": 50_000})
    assert mix.p_value < 0.001
    assert not mix.is_alarm


def test_a_mix_of_few_answers_or_of_a_classifier_that_is_gone_is_not_judged() -> None:
    for mix in (
        compare_mix("day", {"hat": 5}, {"hat": 100}),
        compare_mix("day", {"hat": 50}, count_holdout_answers(None)),
    ):
        assert "too small" in mix.told
        assert not mix.is_alarm
        assert "p_value" not in describe_mix([mix]).numbers


def test_answers_expected_are_the_classifiers_own_on_the_holdout() -> None:
    confusion = {"hat": {"hat": 8, "shoes": 2}, "shoes": {"shoes": 9, "hat": 1}}
    assert count_holdout_answers({"confusion": confusion}) == {"hat": 9, "shoes": 11}


def test_a_label_of_a_stranger_is_no_markdown() -> None:
    mix = compare_mix("day", {"[x](http:∕∕evil)": 50}, {"hat": 50})
    assert "](" not in mix.told + describe_mix([mix]).tables["days"]


@pytest.fixture(scope="module")
def tables(spark: SparkSession, deal: Deal, train: np.ndarray, make_photo: MakePhoto) -> dict[str, DataFrame]:
    """A training set, a calm day, a day of which one picture in ten is new, and one of three pictures."""
    days = {CALM: deal(100, 20), NOVEL: deal(100, 21, novel=12), SMALL: deal(3, 22)}
    rows: dict[str, list[tuple]] = {
        name: [] for name in ("images", "image_features", "predictions", "training_features")
    }
    for number, vector in enumerate(train):
        side, image_id = "train" if number % 5 else "holdout", f"{number:064x}"
        known = ("hat", side, side, image_id, image_id)
        rows["training_features"].append((*known, vector.tolist(), 9, 9, "JPEG", None, BACKBONE))
    content = make_photo()
    for day, vectors in days.items():
        arrived = date.fromisoformat(day)
        for number, vector in enumerate(vectors):
            image_id, path = f"{day}{number:054x}", f"{number}.jpg"
            rows["images"].append((arrived, image_id, path, len(content), None, content, None))
            rows["image_features"].append((arrived, image_id, vector.tolist(), 9, 9, "JPEG", None, BACKBONE))
            rows["predictions"].append(
                (arrived, image_id, path, "hat", 0.9, {"hat": 0.9}, "answered", None, "v", BACKBONE)
            )
    schemas = [images.SCHEMA, features.SCHEMA, predictions.SCHEMA, labels.FEATURES_SCHEMA]
    frames = zip(rows.items(), schemas, strict=True)
    return {name: spark.createDataFrame(each, parse_schema(schema)) for (name, each), schema in frames}


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("instance"))) as made:
        yield made


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, tables: dict[str, DataFrame]) -> Lake:
    lake = Lake(root=str(tmp_path_factory.mktemp("lake")))
    for name, frame in tables.items():
        lake.write(name, frame, None if name == "training_features" else [CALM, NOVEL, SMALL])
    evaluation = {"confusion": {"hat": {"hat": 30}, "shoes": {"shoes": 60, "hat": 10}}}
    lake.models.write_note(lake.models.folder / "classifier" / "v" / "evaluation.json", json.dumps(evaluation))
    return lake


Check = Callable[[Lake], dict[str, dg.AssetCheckEvaluation]]


@pytest.fixture(scope="module")
def check(instance: dg.DagsterInstance) -> Check:
    """Runs both checks alone, as a user does in the UI; test_end_to_end.py runs them with days."""

    def run(lake: Lake) -> dict[str, dg.AssetCheckEvaluation]:
        built = build_definitions(replace(read_settings(), lake=lake.root))
        checks = dg.load_asset_checks_from_modules([drift])
        job = dg.define_asset_job("drift", dg.AssetSelection.checks(*checks))
        resources = built.resources
        definitions = dg.Definitions(built.assets, asset_checks=built.asset_checks, jobs=[job], resources=resources)
        result = definitions.resolve_job_def("drift").execute_in_process(instance=instance)
        return {each.check_name: each for each in result.get_asset_check_evaluations()}

    return run


@pytest.fixture(scope="module")
def judged(check: Check, lake: Lake) -> dict[str, dg.AssetCheckEvaluation]:
    return check(lake)


def test_the_check_warns_of_the_novel_day_alone_and_shows_its_pictures(
    judged: dict[str, dg.AssetCheckEvaluation], instance: dg.DagsterInstance
) -> None:
    found = judged["pictures_are_like_those_trained_on"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description is not None
    assert found.description.startswith(f"{NOVEL} pictures differ from the training set")
    assert CALM not in found.description
    told = {name: value.value for name, value in found.metadata.items()}
    assert told["p_value"] <= told["alarm_at"]
    assert told["alarm_count"] == 1
    assert f"| {SMALL} | 3 |  |  | too small, the day has fewer than 20 pictures |" in told["days"]
    assert "| pictures differ from the training set in some of them, which are like each other |" in told["days"]
    *folders, extension = told[f"examples_{NOVEL}"].removesuffix(")").split("/logs/")[1].split("/")
    jpeg = Path(instance.compute_log_manager.get_captured_local_path(folders, extension)).read_bytes()
    assert Image.open(io.BytesIO(jpeg)).size[1] > 400, "three rows of pictures"


def test_the_mix_has_a_check_and_words_of_its_own(judged: dict[str, dg.AssetCheckEvaluation]) -> None:
    found = judged["answers_are_mixed_as_on_the_holdout"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert f"{CALM} hat is 100% of the answers, 40% on the holdout" in str(found.description)
    assert found.metadata["alarm_count"].value == 2
    assert "| hat is 100%" in found.metadata["days"].value
    assert "_" not in found.metadata["days"].value, "our own words survive what makes a stranger's harmless"


def test_a_lake_without_a_training_set_or_a_classifier_is_told_and_warns_of_nothing(
    check: Check, tables: dict[str, DataFrame], tmp_path: Path
) -> None:
    lake = Lake(root=str(tmp_path))
    for name in ("images", "image_features", "predictions"):
        lake.write(name, tables[name].where(f"day = '{CALM}'"), [CALM])
    found = check(lake)
    assert all(each.passed for each in found.values())
    assert "training_features" in str(found["pictures_are_like_those_trained_on"].description)
    assert "too small" in str(found["answers_are_mixed_as_on_the_holdout"].description)


def test_only_the_train_side_is_compared_with(tables: dict[str, DataFrame]) -> None:
    reference = read_reference(tables["training_features"])
    assert reference.vectors.shape == (480, DIMENSION)
    assert reference.backbone == BACKBONE


def test_a_day_of_another_backbone_is_told_and_not_compared(tables: dict[str, DataFrame], train: np.ndarray) -> None:
    (found,) = find_drifts([CALM], tables["image_features"].where(f"day = '{CALM}'"), compare_with(train, "c" * 64))
    assert "another backbone" in found.told
    assert not found.is_alarm
    assert "p_value" not in describe_drift([found]).numbers


def test_vectors_that_are_no_numbers_are_left_out(spark: SparkSession, train: np.ndarray) -> None:
    day = date.fromisoformat(CALM)
    rows = [(day, f"{number:064x}", [float("nan")] * DIMENSION, BACKBONE) for number in range(30)]
    frame = spark.createDataFrame(rows, "day date, image_id string, features array<float>, backbone string")
    (found,) = find_drifts([CALM], frame, compare_with(train))
    assert "too small" in found.told
    assert found.picture_count == 0
