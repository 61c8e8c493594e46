"""Drift: days sampled from the training distribution are calm, other days raise alarms, and pages explain them."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from conftest import MakePhoto, StoreRows, list_records, make_frame
from deltalake.exceptions import DeltaError
from PIL import Image
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from assets.definitions import build_definitions
from pipeline.daily import predictions
from pipeline.daily.difficulty_table import Difficulty, store_difficulties
from pipeline.drift import image_drift
from pipeline.drift.clusters import find_clustered
from pipeline.drift.comparison import (
    ALARM_AT,
    Comparison,
    describe_check,
    describe_drift,
    find_least_likely,
    read_comparisons,
    store_comparisons,
)
from pipeline.drift.embedding_space import fit_embedding_space
from pipeline.drift.image_drift import Samples, compare_images, find_neighbourhoods
from pipeline.drift.label_shift import compare_label_counts, compare_labels, count_holdout_predictions
from pipeline.drift.permutation import Sample, compare_samples, prepare_sample
from pipeline.drift.reference import Reference, make_reference, pack_reference, read_reference, unpack_reference
from pipeline.images import features, split
from pipeline.images import image_files as images
from pipeline.images.split import join_split
from pipeline.similarity import axes
from pipeline.similarity.samples import sample_days, unpack_days
from pipeline.storage import picked_rows
from resources.lake.lake import Lake
from resources.settings import read_settings

DIMENSION, KINDS = 24, 6
CALM, NOVEL, SMALL = "2026-11-20", "2026-11-21", "2026-11-22"
BACKBONE = "b" * 64

Draw = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def draw() -> Draw:
    """Samples unit vectors around six centres; the last `novel` ones lie around a seventh."""
    centres = np.random.default_rng(0).normal(0, 1.5, (KINDS + 1, DIMENSION))

    def make(count: int, seed: int, novel: int = 0, shift: float = 0) -> np.ndarray:
        generator = np.random.default_rng(seed)
        kinds = np.append(generator.integers(0, KINDS, count - novel), np.full(novel, KINDS))
        points = centres[kinds] + generator.normal(0, 1, (count, DIMENSION)) + shift
        return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)

    return make


@pytest.fixture(scope="module")
def train(draw: Draw) -> np.ndarray:
    return draw(600, 1)


@pytest.fixture(scope="module")
def sample(draw: Draw, train: np.ndarray) -> Sample:
    return prepare(train, draw(150, 9))


def prepare(vectors: np.ndarray, aside: np.ndarray) -> Sample:
    """Prepares a sample whose labels follow from the vectors."""
    return prepare_sample(vectors, name_kinds(vectors), fit_embedding_space(aside, name_kinds(aside), vectors))


def name_kinds(vectors: np.ndarray) -> list[str]:
    return [f"kind {vector[:KINDS].argmax()}" for vector in vectors]


def compare_with(train: np.ndarray, backbone: str = BACKBONE) -> Reference:
    space = fit_embedding_space(train[:0], name_kinds(train[:0]), train)
    return make_reference(backbone, train, name_kinds(train), space)


def compare(days: Sequence[str], features: DataFrame, reference: Reference) -> list[Comparison]:
    """Compares days with the reference, by samples as large as those of the asset."""
    return list(compare_images(days, draw_samples(features), BACKBONE, reference))


def draw_samples(features: DataFrame) -> Samples:
    """Samples of days, as large as those of the asset."""
    columns = {"error": None, "decoder": None, "quality_flags": None}
    rows = features.withColumns({name: F.lit(value).cast("string") for name, value in columns.items()}).toArrow()
    return unpack_days(sample_days(rows, image_drift.DAY_LIMIT, BACKBONE, ""))


def test_days_of_the_same_distribution_are_calm(draw: Draw) -> None:
    p_values = [
        compare_samples(prepare(draw(200, 10 + seed), draw(50, 210 + seed)), draw(60, 110 + seed)).p_value
        for seed in range(40)
    ]
    assert sum(p <= 0.0075 for p in p_values) <= 2
    assert sum(p <= 0.5 for p in p_values) >= 10, "small p-values occur too"


def test_a_day_that_is_shifted_as_a_whole_differs(draw: Draw, sample: Sample) -> None:
    found = compare_samples(sample, draw(150, 2, shift=0.4))
    assert found.p_value == 0.001
    assert found.distance > 5


def test_one_novel_image_in_ten_is_detected_and_comes_first(draw: Draw, sample: Sample) -> None:
    found = compare_samples(sample, draw(150, 2, novel=15))
    assert (found.p_value, found.statistic) == (0.001, "cluster")
    assert set(found.order[:12]) <= set(range(135, 150)), "the novel ones come first"
    assert found.own_share[135:].mean() > 2 * found.own_share[:135].mean()


def test_the_same_images_give_the_same_result(draw: Draw, sample: Sample) -> None:
    first, again = (compare_samples(sample, draw(100, 3)) for _ in range(2))
    assert (first.p_value, first.distance) == (again.p_value, again.distance)
    assert np.array_equal(first.order, again.order)


def test_a_hundred_near_duplicates_of_an_image_count_once(draw: Draw, sample: Sample) -> None:
    noise = np.random.default_rng(4).normal(0, 0.001, (100, DIMENSION)).astype(np.float32)
    burst = np.concatenate([draw(100, 5), draw(1, 6) + noise])
    found = compare_samples(sample, burst)
    assert len(found.order) == 101
    assert np.isnan(found.own_share).sum() == 99
    assert found.p_value > 0.0075


def test_compressed_coordinates_give_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    spread = np.linspace(3, 0.1, 700)
    generator = np.random.default_rng(6)
    first, second = (generator.normal(0, spread, (count, 700)).astype(np.float32) for count in (500, 40))
    second[:6, 400:450] += 3
    few = compare_samples(prepare(first, first), second)
    monkeypatch.setattr(axes, "OWN_DIMENSIONS", 700)
    whole = compare_samples(prepare(first, first), second)
    assert (few.p_value, few.distance) == pytest.approx((whole.p_value, whole.distance), abs=0.01)
    assert set(few.order[:6]) == set(whole.order[:6])


def test_vectors_without_variance_do_not_differ() -> None:
    same = np.ones((30, 4), np.float32) / 2
    assert compare_samples(prepare(same, same), same).p_value == 1
    zeros = np.zeros_like(same)
    assert compare_samples(prepare(zeros, zeros), zeros).p_value == 1


def test_labels_sampled_from_the_holdout_are_calm_and_shifted_ones_raise_an_alarm() -> None:
    generator = np.random.default_rng(7)
    holdout = {"hat": 40, "shoes": 60, "shirt": 240}
    shares = np.array(list(holdout.values())) / sum(holdout.values())
    calm = [
        compare_label_counts(CALM, dict(zip(holdout, generator.multinomial(200, shares), strict=True)), holdout)
        for _ in "x" * 40
    ]
    assert sum(shift.is_alarm for shift in calm) <= 1
    shifted = compare_label_counts(CALM, {"hat": 24, "shoes": 80, "shirt": 96}, holdout)
    assert shifted.is_alarm
    assert "shoes is 40% of the predictions, 18% on the holdout" in shifted.message
    assert shifted == compare_label_counts(CALM, {"hat": 24, "shoes": 80, "shirt": 96}, holdout)


def test_a_huge_day_with_a_small_label_shift_raises_no_alarm() -> None:
    shift = compare_label_counts(CALM, {"hat": 52_000, "shoes": 48_000}, {"hat": 50_000, "shoes": 50_000})
    assert shift.p_value is not None
    assert shift.p_value < 0.001
    assert not shift.is_alarm


def test_few_predictions_or_a_deleted_classifier_are_not_compared() -> None:
    for shift in (
        compare_label_counts(CALM, {"hat": 5}, {"hat": 100}),
        compare_label_counts(CALM, {"hat": 50}, count_holdout_predictions(None)),
    ):
        assert "not compared" in shift.message
        assert "fewer than 20" in shift.message
        assert not shift.is_alarm
        assert "p_value" not in describe_check([shift]).numbers


def test_of_two_classifiers_of_a_day_the_less_likely_one_counts() -> None:
    moved = compare_label_counts(CALM, {"hat": 30, "shoes": 50}, {"hat": 80}, "v1")
    calm = compare_label_counts(CALM, {"hat": 30, "shoes": 50}, {"hat": 30, "shoes": 50}, "v2")
    assert moved.p_value is not None
    assert moved.p_value <= 0.0025
    assert find_least_likely([calm, moved])["p_value"] == moved.p_value
    assert find_least_likely([replace(calm, p_value=None, moved_share=None)]) == {}


def test_expected_counts_are_predictions_for_the_holdout() -> None:
    confusion = {"hat": {"hat": 8, "shoes": 2}, "shoes": {"shoes": 9, "hat": 1}}
    assert count_holdout_predictions({"confusion": confusion}) == {"hat": 9, "shoes": 11}


def test_answers_with_an_ancestor_count_for_their_most_probable_label(spark: SparkSession) -> None:
    day = date.fromisoformat(CALM)
    rows = [(day, str(number), "v", "cat", {"cat/red": 0.4, "dog": 0.1, "*": 0.5}, 1) for number in range(40)]
    frame = spark.createDataFrame(
        rows,
        "day date, image_id string, classifier string, predicted_label string, probabilities map<string, double>,"
        " level int",
    )
    (found,) = compare_labels([CALM], frame.toArrow(), lambda version: {"confusion": {"cat/red": {"cat/red": 40}}})
    assert (found.moved_share, found.is_alarm) == (0.0, False)


def test_an_untrusted_label_is_not_markdown() -> None:
    shift = compare_label_counts(CALM, {"[x](http:∕∕evil)": 50}, {"hat": 50})
    assert "](" not in shift.message + describe_check([shift]).tables["days"]


@pytest.fixture(scope="module")
def tables(spark: SparkSession, draw: Draw, train: np.ndarray, make_photo: MakePhoto) -> dict[str, DataFrame]:
    """A training set, a calm day, a day with one novel image in ten, and a day of three images."""
    days = {CALM: draw(100, 20), NOVEL: draw(100, 21, novel=12), SMALL: draw(3, 22)}
    rows: dict[str, list[tuple]] = {
        name: [] for name in ("images", "image_features", "predictions", "training_features", "training_split")
    }
    for number, vector in enumerate(train):
        side, image_id = "train" if number % 5 else "holdout", f"{number:064x}"
        rows["training_features"].append((image_id, vector.tolist(), 9, 9, "JPEG", None, BACKBONE, [], None))
        rows["training_split"].append((image_id, "hat", image_id, side, side))
    content = make_photo()
    for day, vectors in days.items():
        arrived = date.fromisoformat(day)
        for number, vector in enumerate(vectors):
            image_id, path = f"{day}{number:054x}", f"{number}.jpg"
            rows["images"].append((arrived, image_id, path, len(content), None, content, None, None))
            rows["image_features"].append((arrived, image_id, vector.tolist(), 9, 9, "JPEG", None, BACKBONE, [], None))
            rows["predictions"].append(
                (arrived, image_id, path, "hat", 0.9, {"hat": 0.9}, "answered", None, "v", BACKBONE, [])
            )
    schemas = [images.SCHEMA, features.SCHEMA, predictions.SCHEMA, features.COLUMNS, split.SCHEMA]
    frames = zip(rows.items(), schemas, strict=True)
    return {name: make_frame(spark, each, schema) for (name, each), schema in frames}


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("instance"))) as made:
        yield made


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, tables: dict[str, DataFrame]) -> Lake:
    lake = Lake(root=str(tmp_path_factory.mktemp("lake")))
    for name, frame in tables.items():
        lake.write(name, frame, None if name.startswith("training_") else [CALM, NOVEL, SMALL])
    write_difficulty(lake, tables, read_reference(join_split(tables["training_features"], tables["training_split"])))
    evaluation = {"confusion": {"hat": {"hat": 30}, "shoes": {"shoes": 60, "hat": 10}}}
    lake.models.write_note(lake.models.folder / "classifier" / "v" / "evaluation.json", json.dumps(evaluation))
    return lake


def write_difficulty(lake: Lake, tables: dict[str, DataFrame], reference: Reference, *days: str) -> None:
    """Writes the comparisons of days as the asset `difficulty` does."""
    found: dict[date, list[Comparison]] = {}
    for each in compare(days or [CALM, NOVEL, SMALL], tables["image_features"], reference):
        found.setdefault(each.day, []).append(each)
    rows = [Difficulty(day, "v", 0, 0, 0, day, comparisons=compared) for day, compared in found.items()]
    lake.write("difficulty", store_difficulties(rows), [str(day) for day in found])


Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture(scope="module")
def run(instance: dg.DagsterInstance) -> Run:
    """Materializes drift for the days; without days, runs only the checks, like a user in the UI."""

    def run(lake: Lake, *days: str) -> dg.ExecuteInProcessResult:
        built = build_definitions(read_settings().replace(lake=lake.root))
        checks = dg.AssetSelection.checks_for_assets("drift")
        wanted = dg.AssetSelection.assets("drift").without_checks() if days else checks
        job = dg.define_asset_job("job", wanted)
        ends = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
        tags = dict(zip(ends, (days[0], days[-1]), strict=True)) if days else {}
        resources = built.resources
        definitions = dg.Definitions(built.assets, asset_checks=built.asset_checks, jobs=[job], resources=resources)
        return definitions.resolve_job_def("job").execute_in_process(instance=instance, tags=tags)

    return run


@pytest.fixture(scope="module")
def stored(run: Run, lake: Lake) -> dict[str, dict[str, dg.MetadataValue]]:
    """The metadata of each day."""
    events = run(lake, CALM, NOVEL, SMALL).asset_materializations_for_node("drift")
    return {str(event.partition): dict(event.metadata) for event in events}


@pytest.fixture(scope="module")
def judged(run: Run, lake: Lake, stored: object) -> dict[str, dg.AssetCheckEvaluation]:
    return {each.check_name: each for each in run(lake).get_asset_check_evaluations()}


def test_every_day_has_a_row_for_its_images_and_one_for_its_labels(
    spark: SparkSession, lake: Lake, stored: object
) -> None:
    rows = read_comparisons(lake.read(spark, "drift", [CALM, NOVEL, SMALL]).read_small())
    assert [(str(each.day), each.comparison, each.classifier, each.is_alarm) for each in rows] == [
        (CALM, "images", None, False),
        (CALM, "labels", "v", True),
        (NOVEL, "images", None, True),
        (NOVEL, "labels", "v", True),
        (NOVEL, "week", None, True),
        (SMALL, "images", None, False),
        (SMALL, "labels", "v", False),
        (SMALL, "week", None, True),
    ]
    (novel,) = [each for each in rows if each.examples and each.comparison == "images"]
    assert str(novel.day) == NOVEL
    assert len(novel.examples) == 12
    assert all(0 < share <= 1 for _, share in novel.examples)
    assert rows[5] == Comparison(
        date.fromisoformat(SMALL), "images", "not compared, the day has fewer than 20 images", 3
    )


def test_the_page_of_a_day_has_its_numbers_and_shows_its_examples(
    stored: dict[str, dict[str, dg.MetadataValue]], instance: dg.DagsterInstance
) -> None:
    page = {name: value.value for name, value in stored[NOVEL].items()}
    assert page["alarm_count"] == 3
    assert page["images_p_value"] <= 0.005
    assert page["labels_moved_share"] == 0.6
    assert "| images | 100 |" in page["comparisons"]
    *folders, extension = page["examples"].removesuffix(")").split("/logs/")[1].split("/")
    jpeg = Path(instance.compute_log_manager.get_captured_local_path(folders, extension)).read_bytes()
    assert Image.open(io.BytesIO(jpeg)).size[1] > 400, "three rows of images"
    assert "examples" not in stored[CALM]
    assert "images_p_value" not in stored[SMALL], "the day is too small"


def test_the_check_warns_of_the_novel_day_and_its_weeks_alone(
    judged: dict[str, dg.AssetCheckEvaluation],
) -> None:
    found = judged["images_resemble_the_training_set"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description is not None
    assert found.description.startswith(f"{NOVEL} the day differs from the training set")
    assert CALM not in found.description
    metadata = {name: value.value for name, value in found.metadata.items()}
    assert metadata["p_value"] <= ALARM_AT["images"]
    assert metadata["alarm_count"] == 3
    assert f"| {SMALL} | 3 |  |  | not compared, the day has fewer than 20 images |" in metadata["days"]
    assert "| the day differs from the training set in some images that resemble each other |" in metadata["days"]


def test_label_shift_has_its_own_check_and_summary(judged: dict[str, dg.AssetCheckEvaluation]) -> None:
    found = judged["labels_are_distributed_as_on_the_holdout"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert f"{CALM} hat is 100% of the predictions, 40% on the holdout" in str(found.description)
    assert found.metadata["alarm_count"].value == 2
    assert "| hat is 100%" in found.metadata["days"].value
    assert "_" not in found.metadata["days"].value, "escaping leaves the words of the summary alone"


def test_without_a_training_set_and_a_classifier_nothing_is_compared_and_nothing_warns(
    run: Run, tables: dict[str, DataFrame], tmp_path: Path
) -> None:
    lake = Lake(root=str(tmp_path))
    for name in ("images", "image_features", "predictions"):
        lake.write(name, tables[name].where(f"day = '{CALM}'"), [CALM])
    write_difficulty(
        lake,
        tables,
        read_reference(tables["training_features"].join(tables["training_split"], "image_id").limit(0)),
        CALM,
    )
    run(lake, CALM)
    found = {each.check_name: each for each in run(lake).get_asset_check_evaluations()}
    assert all(each.passed for each in found.values())
    assert "not compared, training_features" in str(found["images_resemble_the_training_set"].description)
    assert "not compared" in str(found["labels_are_distributed_as_on_the_holdout"].description)


def test_a_lake_without_drift_warns_of_nothing(run: Run, tmp_path: Path) -> None:
    found = run(Lake(root=str(tmp_path))).get_asset_check_evaluations()
    assert [(each.passed, each.description) for each in found] == [(True, "0 days")] * 2


def test_the_checks_fail_on_a_table_of_drift_that_cannot_be_read(run: Run, spark: SparkSession, tmp_path: Path) -> None:
    lake = Lake(root=str(tmp_path))
    foreign = spark.createDataFrame([(date.fromisoformat(CALM), "calm")], "day date, weather string")
    lake.write("drift", foreign, [CALM])
    with pytest.raises(pa.ArrowInvalid, match="comparison"):
        run(lake)
    (log,) = (tmp_path / "drift" / "_delta_log").glob("*1.json")
    log.write_text("half a lo")
    with pytest.raises(DeltaError, match="Json error"):
        run(lake)


def test_rows_are_read_as_they_were_stored(spark: SparkSession) -> None:
    day = date.fromisoformat(CALM)
    rows = [
        Comparison(day, "images", "as a whole", 30, p_value=0.001, distance=9.5, is_alarm=True, examples=(("a", 0.5),)),
        Comparison(day, "labels", "hat is 50%", 30, "v", p_value=0.5, moved_share=0.2),
    ]
    assert read_comparisons(store_comparisons(rows[::-1]).table) == rows


def test_examples_of_two_days_are_drawn_once_each(spark: SparkSession, lake: Lake) -> None:
    alarms = [
        Comparison(
            date.fromisoformat(day),
            "images",
            "alarm",
            30,
            p_value=0.001,
            distance=9.0,
            is_alarm=True,
            examples=((f"{day}{0:054x}", 0.5), ("unknown", 0.5)),
        )
        for day in (CALM, NOVEL)
    ]
    images, predicted = (lake.read(spark, name, [CALM, NOVEL]) for name in ("images", "predictions"))
    reports = describe_drift(images, predicted)(store_comparisons(alarms).table)
    assert [list(reports[each.day].images) for each in alarms] == [["examples"]] * 2


def test_only_the_train_split_is_the_reference(tables: dict[str, DataFrame]) -> None:
    reference = read_reference(join_split(tables["training_features"], tables["training_split"]))
    assert reference.image_count == 480
    assert reference.backbone == BACKBONE


def test_a_stored_reference_compares_as_the_first_one(draw: Draw, train: np.ndarray, week: DataFrame) -> None:
    reference = replace(compare_with(train), rare_flags=("blurred", "dark"))
    again = unpack_reference(pack_reference(reference, "key"), "key")
    assert again is not None
    assert (again.backbone, again.image_count, again.rare_flags) == (BACKBONE, len(train), ("blurred", "dark"))
    assert compare(["2026-11-03"], week, again) == compare(["2026-11-03"], week, reference)
    assert unpack_reference(pack_reference(reference, "key"), "another key") is None


def test_a_reference_of_few_images_is_stored_without_a_sample(train: np.ndarray) -> None:
    few = make_reference(BACKBONE, train[:5], name_kinds(train[:5]), compare_with(train).sample.space)
    assert unpack_reference(pack_reference(few, "key"), "key") == Reference(BACKBONE, 5, None)


@pytest.mark.parametrize(("flagged_count", "rare"), [(0, True), (9, True), (10, False)])
def test_a_flag_of_fewer_than_two_in_a_hundred_training_images_is_rare(
    tables: dict[str, DataFrame], flagged_count: int, rare: bool
) -> None:
    features = tables["training_features"].limit(500).withColumn("number", F.monotonically_increasing_id())
    flags = F.when(F.col("number") < flagged_count, F.array(F.lit("blurred"))).otherwise(
        F.array().cast("array<string>")
    )
    judged = features.coalesce(1).withColumn("quality_flags", flags).drop("number")
    found = read_reference(join_split(judged, tables["training_split"])).rare_flags
    assert ("blurred" in found, "dark" in found) == (rare, True)


def test_without_judged_training_images_no_flag_is_rare(tables: dict[str, DataFrame]) -> None:
    never = tables["training_features"].withColumn("quality_flags", F.lit(None).cast("array<string>"))
    assert read_reference(join_split(never, tables["training_split"])).rare_flags == ()


def test_a_day_of_another_backbone_is_not_compared(tables: dict[str, DataFrame], train: np.ndarray) -> None:
    (found,) = compare([CALM], tables["image_features"].where(f"day = '{CALM}'"), compare_with(train, "c" * 64))
    assert "another backbone" in found.message
    assert not found.is_alarm
    assert "p_value" not in describe_check([found]).numbers


@pytest.fixture(scope="module")
def week(spark: SparkSession, draw: Draw) -> DataFrame:
    """Seven days of sixty images, three of them of a kind never seen."""
    rows = [
        (date(2026, 11, 1 + day), f"{day:032x}{number:032x}", vector.tolist(), BACKBONE)
        for day in range(7)
        for number, vector in enumerate(draw(60, 50 + day, novel=3))
    ]
    return spark.createDataFrame(rows, "day date, image_id string, features array<float>, backbone string")


def test_a_new_kind_too_rare_for_a_day_is_detected_within_a_week(
    week: DataFrame, draw: Draw, train: np.ndarray
) -> None:
    aside = draw(150, 9)
    space = fit_embedding_space(aside, name_kinds(aside), train)
    reference = make_reference(BACKBONE, train, name_kinds(train), space)
    days = [f"2026-11-{1 + day:02}" for day in range(7)]
    found = compare(days, week, reference)
    assert not any(each.is_alarm for each in found if each.comparison == "images")
    last = found[-1]
    assert (last.comparison, last.is_alarm, last.image_count) == ("week", True, 420)
    novel = [image_id for image_id, _ in last.examples if int(image_id[32:], 16) >= 57]
    assert len(novel) >= 2, "the examples are images of the day itself"
    assert all(image_id.startswith(f"{6:032x}") for image_id, _ in last.examples)


def test_a_day_without_days_before_it_has_no_week(week: DataFrame, train: np.ndarray) -> None:
    assert [each.comparison for each in compare(["2026-11-01"], week, compare_with(train))] == ["images"]


@pytest.fixture(scope="module")
def clustered_day(spark: SparkSession, draw: Draw) -> DataFrame:
    """A calm day, and one whose last thirty of 150 images are of a kind never seen."""
    rows = [
        (date.fromisoformat(day), f"{day}{number:054x}", vector.tolist(), BACKBONE)
        for day, vectors in ((CALM, draw(150, 30)), (NOVEL, draw(150, 31, novel=30)))
        for number, vector in enumerate(vectors)
    ]
    return spark.createDataFrame(rows, "day date, image_id string, features array<float>, backbone string").cache()


NEW_IMAGES = set(range(120, 150))


def list_clustered(
    features: DataFrame, tables: dict[str, DataFrame], store_rows: StoreRows
) -> tuple[set[int], Comparison]:
    """Numbers of the clustered images, and the comparison of the day that has them."""
    reference = read_reference(join_split(tables["training_features"], tables["training_split"]))
    compared = compare([CALM, NOVEL], features, reference)
    neighbourhoods = find_neighbourhoods(compared, draw_samples(features), reference)
    found = list_records(find_clustered(store_rows(features), neighbourhoods))
    assert {str(row["day"]) for row in found} == {NOVEL}, "the calm day has no cluster"
    (comparison,) = [each for each in compared if each.cluster_count]
    return {int(row["image_id"][10:], 16) for row in found}, comparison


@pytest.mark.parametrize("limit", [pytest.param(2**15, id="driver"), pytest.param(0, id="workers")])
def test_the_images_of_a_cluster_are_found_and_others_are_not(
    clustered_day: DataFrame,
    tables: dict[str, DataFrame],
    store_rows: StoreRows,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
) -> None:
    monkeypatch.setattr(picked_rows, "MAPPED_ROWS", limit)
    numbers, comparison = list_clustered(clustered_day, tables, store_rows)
    assert len(numbers & NEW_IMAGES) >= 28, "of thirty"
    assert len(numbers - NEW_IMAGES) <= 5
    assert comparison.cluster_share == pytest.approx(len(numbers) / comparison.image_count, abs=0.01)


def test_images_outside_the_sample_of_a_large_day_belong_to_its_cluster_too(
    clustered_day: DataFrame,
    tables: dict[str, DataFrame],
    store_rows: StoreRows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_drift, "DAY_LIMIT", 110)
    numbers, comparison = list_clustered(clustered_day, tables, store_rows)
    assert comparison.image_count <= 110
    assert len(numbers & NEW_IMAGES) >= 26
    assert len(numbers - NEW_IMAGES) <= 8


def test_vectors_with_nan_are_left_out(spark: SparkSession, train: np.ndarray) -> None:
    day = date.fromisoformat(CALM)
    rows = [(day, f"{number:064x}", [float("nan")] * DIMENSION, BACKBONE) for number in range(30)]
    frame = spark.createDataFrame(rows, "day date, image_id string, features array<float>, backbone string")
    (found,) = compare([CALM], frame, compare_with(train))
    assert found.message == "not compared, the day has fewer than 20 images"
    assert found.image_count == 0


def test_thousands_of_labels_are_compared_in_groups() -> None:
    generator = np.random.default_rng(0)
    labels, shares = [f"label {number:04}" for number in range(3_000)], generator.dirichlet(np.ones(3_000))

    def draw(count: int, drawn_shares: np.ndarray) -> dict[str, int]:
        counts = generator.multinomial(count, drawn_shares)
        return {label: int(count) for label, count in zip(labels, counts, strict=True) if count}

    holdout = draw(12_000, shares)
    calm = compare_label_counts(CALM, draw(10_000, shares), holdout)
    assert not calm.is_alarm
    assert calm.p_value is not None
    moved = shares.copy()
    moved[:600] *= 3
    assert compare_label_counts(CALM, draw(10_000, moved / moved.sum()), holdout).is_alarm
