"""The bake-off: one row per backbone and precision, judged once, shown in a table and a plot."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from convolutions import make_convolutions
from PIL import Image
from pyspark.sql import DataFrame, SparkSession

from pipeline.embed.backbone import Backbone, open_backbone
from pipeline.evaluation.intervals import interval_of_share
from pipeline.images.features import extract_features
from pipeline.images.labels import list_training_files, read_training_images
from pipeline.images.split import label_features
from pipeline.networks.export import export_backbone
from pipeline.networks.pretrained import Pretrained
from pipeline.training.bake_off import judge_backbones, sample_images
from pipeline.training.contenders import (
    Contender,
    contender_table,
    describe_contenders,
    pareto_front,
    read_contenders,
    tabulate_contenders,
)
from pipeline.training.params import ClassifierParams
from resources.lake.lake import Lake
from resources.models.judgements import Judgements

SEARCH = ClassifierParams(params={"maxIter": 3}, grid={"regParam": [0.01, 0.1]}, folds=2)

pytestmark = pytest.mark.filterwarnings("ignore:unclosed running multiprocessing pool:ResourceWarning")


def contender(name: str = "a", accuracy: float = 0.9, cpu_seconds: float = 0.01, precision: str = "fp32") -> Contender:
    return Contender(
        name, precision, accuracy, accuracy - 0.02, accuracy + 0.02, 0.8, 341, cpu_seconds, 1280, 18.5,
        "regParam 0.02", f"digest of {name}", f"training of {name} {precision}",
    )  # fmt: skip


@pytest.fixture(scope="module")
def training_images(spark: SparkSession, training_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    folder = str(tmp_path_factory.mktemp("images") / "training")
    read_training_images(spark, list_training_files(str(training_folder))).write.parquet(folder)
    return spark.read.parquet(folder)


@pytest.fixture(scope="module")
def other_backbone(tiny_pretrained: Pretrained, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    other = replace(tiny_pretrained, name="convolutions", convert=make_convolutions)
    return open_backbone(export_backbone(other, tmp_path_factory.mktemp("other")))


@pytest.fixture(scope="module")
def judgements(tmp_path_factory: pytest.TempPathFactory) -> Judgements:
    return Judgements(lake=Lake(root=str(tmp_path_factory.mktemp("lake"))))


def judge(
    backbones: list[Backbone],
    training_images: DataFrame,
    judgements: Judgements,
    messages: list[str],
    **changes: object,
) -> list[Contender]:
    def embed(backbone: Backbone) -> DataFrame:
        return label_features(extract_features(training_images, backbone), training_images)

    sample = sample_images(training_images, 8)
    search = replace(SEARCH, **changes)
    return judge_backbones(backbones, embed, sample, search, judgements.recall, judgements.keep, messages.append)


@pytest.fixture(scope="module")
def first(training_images: DataFrame, tiny_backbone: Backbone, judgements: Judgements) -> list[Contender]:
    return judge([tiny_backbone], training_images, judgements, [])


def test_a_contender_has_all_its_measurements(first: list[Contender], tiny_backbone: Backbone) -> None:
    (judged,) = first
    assert (judged.backbone, judged.precision, judged.digest) == ("tiny", "fp32", tiny_backbone.digest)
    assert 0.5 < judged.accuracy_low < judged.accuracy <= judged.accuracy_high <= 1
    assert judged.head in ("regParam 0.01", "regParam 0.1")
    assert 0 < judged.cpu_seconds < 1
    assert judged.dimension == 48


def test_adding_a_backbone_judges_only_the_new_one(
    first: list[Contender],
    training_images: DataFrame,
    tiny_backbone: Backbone,
    other_backbone: Backbone,
    judgements: Judgements,
) -> None:
    messages: list[str] = []
    both = judge([tiny_backbone, other_backbone], training_images, judgements, messages)
    assert both[0] == first[0], "a second measurement would give another speed"
    assert [message.rpartition("(")[2].rstrip(")") for message in messages] == ["from an earlier bake-off", "new"]
    assert messages[1].startswith("convolutions fp32: accuracy ")


def test_changed_search_settings_need_a_new_judgement(
    first: list[Contender], training_images: DataFrame, tiny_backbone: Backbone, judgements: Judgements
) -> None:
    messages: list[str] = []
    (again,) = judge([tiny_backbone], training_images, judgements, messages, folds=3)
    assert messages[0].endswith("(new)")
    assert again.training != first[0].training


def test_a_table_of_contenders_reads_back_unchanged(spark: SparkSession) -> None:
    contenders = [contender("a"), contender("b", precision="int8")]
    assert list(read_contenders(tabulate_contenders(spark, contenders)).values()) == contenders


def test_judgements_are_stored_in_the_lake(judgements: Judgements) -> None:
    judgements.keep(contender("kept"))
    assert judgements.recall("training of kept fp32") == contender("kept")
    assert judgements.recall("never") is None


def test_the_pareto_front_holds_every_undominated_contender() -> None:
    best, fastest = contender("best", 0.92, 0.03), contender("fastest", 0.88, 0.01)
    middle, dominated = contender("middle", 0.90, 0.02), contender("dominated", 0.89, 0.02)
    tied = replace(middle, backbone="tied")
    assert pareto_front([best, fastest, middle, dominated, tied]) == [best, fastest, middle, tied]


def test_price_and_throughput_follow_from_cpu_seconds() -> None:
    assert contender(cpu_seconds=0.0036).dollars_per_million(0.05) == pytest.approx(0.05)
    assert contender(cpu_seconds=0.0036).images_per_second == pytest.approx(1 / 0.0036)


def test_the_report_shows_the_table_and_the_plot_inline(spark: SparkSession) -> None:
    names = [
        *("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2", "resnet50"),
        *("mobilenet-v2", "inception-v3", "xception"),
    ]
    contenders = [
        contender(name, 0.83 + number / 100, 0.02 / 7 * (number + 1), precision)
        for number, name in enumerate(names)
        for precision in ("fp32", "int8")
    ]
    report = describe_contenders(0.05)(tabulate_contenders(spark, contenders))
    assert report.texts["best"] == "xception fp32"
    assert report.numbers["best_accuracy"] == pytest.approx(0.89)
    table = report.tables["contenders"]
    assert len(table) < 1000, "the UI collapses longer Markdown"
    assert table.splitlines()[2] == "| xception fp32|0.890 ±0.020|0.800|50|0.28|1280|18 |"
    plot = Image.open(io.BytesIO(report.images["pareto"]))
    assert plot.format == "JPEG"
    assert plot.width <= 440, "the UI crops wider images"


def test_a_hostile_name_is_escaped_in_markdown() -> None:
    assert "[x](" not in contender_table([contender("[x](http://evil)|*b*")], 0.05)


@pytest.mark.parametrize(
    ("share", "support", "low", "high"), [(0.9, 341, 0.8636, 0.9274), (1.0, 10, 0.7225, 1.0), (0.0, 10, 0.0, 0.2775)]
)
def test_the_interval_of_a_share_is_wilsons(share: float, support: int, low: float, high: float) -> None:
    """The expected values come from statsmodels."""
    assert interval_of_share(share, support) == pytest.approx((low, high), abs=5e-4)


def test_the_sample_is_reproducible_and_drawn_from_the_train_split(training_images: DataFrame) -> None:
    sample = sample_images(training_images, 8)
    assert sample == sample_images(training_images.repartition(5), 8)
    train = training_images.where("split = 'train'")
    assert {bytes(row["content"]) for row in train.collect()} >= set(sample)
    assert len(set(sample)) == 8
