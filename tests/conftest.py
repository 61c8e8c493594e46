"""Small real fixtures: one Spark session, one ONNX graph that sees colours, JPEGs of noise around a colour."""

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper
from PIL import Image
from pyspark.sql import DataFrame, SparkSession

from pipeline.embed.backbone import Backbone, open_backbone
from pipeline.networks.export import export_backbone
from pipeline.networks.pixel_scaling import UNIT
from pipeline.networks.pretrained import Pretrained
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.stored_rows import StoredRows
from resources.lake.lake import Lake
from resources.settings import Settings, read_settings
from resources.spark.session import SparkResource

COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 200)}
SIZE = 32

MakePhoto = Callable[..., bytes]
StoreRows = Callable[[DataFrame], StoredRows]


def make_frame(spark: SparkSession, rows: Iterable[tuple], ddl: str) -> DataFrame:
    """A frame of these rows; the last columns of a schema, which are the newest, may be left out: they are null."""
    schema = parse_schema(ddl)
    return spark.createDataFrame([(*row, *[None] * (len(schema) - len(row))) for row in rows], schema)


def list_records(rows: pa.Table | DataFrame) -> list[dict[str, Any]]:
    """Rows of the driver or of workers, by column."""
    return (rows if isinstance(rows, pa.Table) else rows.toArrow()).to_pylist()


@pytest.fixture(scope="session")
def spark_resource() -> SparkResource:
    """The resource as in production, with two cores and a JVM that starts fast."""
    fast = {
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.shuffle.partitions": 2,
        "spark.ui.enabled": "false",
    }
    return SparkResource(master="local[2]", driver_memory="2g", spark_config=fast)


@pytest.fixture(scope="session")
def spark(spark_resource: SparkResource) -> Iterator[SparkSession]:
    """The Spark session of all tests."""
    session = spark_resource.spark_session
    yield session
    session.stop()


@pytest.fixture(scope="session")
def store_rows(tmp_path_factory: pytest.TempPathFactory) -> StoreRows:
    """Stores a frame as the table of a lake of its own, by day if it has a column `day`."""

    def store(frame: DataFrame) -> StoredRows:
        lake, days = Lake(root=str(tmp_path_factory.mktemp("lake"))), None
        if "day" in frame.columns:
            days = [str(row["day"]) for row in frame.select("day").distinct().collect()]
        lake.write("rows", frame, days)
        return lake.read(frame.sparkSession, "rows", days)

    return store


@pytest.fixture(scope="session")
def tiny_pretrained() -> Pretrained:
    """A network that computes the mean colour of sixteen fields: 48 features."""

    def embed(pixels: np.ndarray) -> np.ndarray:
        fields = UNIT.apply(pixels).reshape(len(pixels), 4, 8, 4, 8, 3).mean(axis=(2, 4))
        return fields.transpose(0, 3, 1, 2).reshape(len(pixels), -1)

    return Pretrained("tiny", SIZE, UNIT, embed, make_tiny_graph, provenance={"origin": "tests", "licence": "none"})


def make_tiny_graph() -> onnx.ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["planes"], ["fields"], kernel_shape=[8, 8], strides=[8, 8]),
            helper.make_node("Flatten", ["fields"], ["flat"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("planes", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["n", 48])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def make_tiny_deployment(root: Path) -> Settings:
    """Settings of a deployment below a folder, with the tiny graph."""
    onnx.save(make_tiny_graph(), root / "tiny.onnx")
    return read_settings().replace(
        landing=str(root / "landing"),
        lake=str(root / "lake"),
        backbone=str(root / "tiny.onnx"),
        pixel_scaling="unit",
        precision="fp32",
    )


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Pretrained) -> Backbone:
    """The tiny network as a stored graph."""
    return open_backbone(export_backbone(tiny_pretrained, tmp_path_factory.mktemp("backbone")))


@pytest.fixture(scope="session")
def make_photo() -> MakePhoto:
    """Makes the bytes of an image: noise around a colour, different for every seed."""

    def make(colour: str = "red", seed: int = 0, size: tuple[int, int] = (48, 40), file_format: str = "JPEG") -> bytes:
        noise = np.random.default_rng(seed).normal(0, 25, (size[1], size[0], 3))
        pixels = np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, file_format)
        return file.getvalue()

    return make


@pytest.fixture(scope="session")
def training_folder(tmp_path_factory: pytest.TempPathFactory, make_photo: MakePhoto) -> Path:
    """Ninety labelled images in folders by colour."""
    root = tmp_path_factory.mktemp("training")
    for colour in COLOURS:
        (root / colour).mkdir()
        for seed in range(30):
            (root / colour / f"{seed}.jpg").write_bytes(make_photo(colour, seed))
    return root
