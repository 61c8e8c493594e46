import hashlib
import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import MakePhoto
from onnx import numpy_helper
from PIL import Image
from pyspark.errors import PythonException
from pyspark.sql import SparkSession

from pipeline.embed.backbone import Backbone, load_backbone, open_backbone
from pipeline.embed.decode import decode
from pipeline.embed.file_kinds import DECODER
from pipeline.embed.formats.colour import make_profile
from pipeline.images.features import describe_features, extract_features
from pipeline.images.image_files import read_images

TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
"""An EXIF block with a quarter turn to the right."""


def save(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path, make_photo: MakePhoto) -> Path:
    (tmp_path / "one.jpg").write_bytes(make_photo("red"))
    (tmp_path / "again.jpg").write_bytes(make_photo("red"))
    (tmp_path / "two.png").write_bytes(make_photo("blue", file_format="PNG"))
    (tmp_path / "broken.jpg").write_bytes(make_photo("green")[:300])
    (tmp_path / "empty.jpg").write_bytes(b"")
    return tmp_path


def test_every_distinct_image_has_features_or_a_reason(
    spark: SparkSession, folder: Path, tiny_backbone: Backbone
) -> None:
    rows = extract_features(read_images(spark, str(folder)), tiny_backbone).collect()
    assert len({row["image_id"] for row in rows}) == len(rows) == 4
    assert all((row["features"] is None) != (row["error"] is None) for row in rows)
    assert sorted(row["error"] for row in rows if row["error"]) == ["empty", "truncated"]
    assert {row["backbone"] for row in rows} == {tiny_backbone.digest}
    assert all((row["quality_flags"] is None) == (row["features"] is None) for row in rows)
    assert all((row["miniature"] is None) == (row["features"] is None) for row in rows)


def test_images_of_low_quality_are_flagged_and_counted(
    spark: SparkSession, folder: Path, tiny_backbone: Backbone
) -> None:
    (folder / "black.png").write_bytes(save(Image.new("RGB", (60, 60))))
    (folder / "grey.png").write_bytes(save(Image.new("RGB", (60, 20), "grey")))
    features = extract_features(read_images(spark, str(folder)), tiny_backbone).cache()
    flags = sorted(row["quality_flags"] for row in features.collect() if row["features"])
    assert flags == [[], [], ["blank", "dark"], ["blank", "tiny"]]
    report = describe_features(features.toArrow())[None]
    assert report.numbers == {"readable_count": 4, "rejected_count": 2, "low_quality_count": 2}
    counts = report.tables["low_quality"].splitlines()[2:]
    assert counts == ["| blank | 2 |", "| dark | 1 |", "| tiny | 1 |"]


def test_features_are_the_output_of_the_graph_as_float32(
    spark: SparkSession, folder: Path, tiny_backbone: Backbone
) -> None:
    features = extract_features(read_images(spark, str(folder)), tiny_backbone)
    assert features.schema["features"].dataType.simpleString() == "array<float>"
    stored = features.where("format = 'PNG'").first()
    pixels = decode((folder / "two.png").read_bytes(), tiny_backbone.size).pixels
    expected = load_backbone(tiny_backbone.path)(pixels[None])[0]
    assert np.array_equal(np.array(stored["features"], np.float32), expected)
    assert (stored["width"], stored["height"]) == (48, 40)


def test_features_of_a_day_keep_the_day(spark: SparkSession, folder: Path, tiny_backbone: Backbone) -> None:
    images = read_images(spark, str(folder)).selectExpr("date'2026-11-20' as day", "*")
    rows = extract_features(images, tiny_backbone).collect()
    assert {str(row["day"]) for row in rows} == {"2026-11-20"}


def test_one_version_of_the_decoder_always_gives_the_same_pixels() -> None:
    """If this fails, raise the number in DECODER, so that cached features of the former pixels are not used."""
    ramp = np.arange(90 * 70, dtype=np.uint16).reshape(90, 70) * 10
    colours = np.stack([ramp, ramp.T.reshape(90, 70), ramp ^ 0x5A5A, ramp >> 3], axis=-1).astype(np.uint8)
    rgb = colours[..., :3]
    images = [
        (Image.fromarray(ramp), "PNG", {}),
        (Image.fromarray(colours), "PNG", {}),
        (Image.fromarray(rgb.repeat(3, axis=0)), "BMP", {}),
        (Image.fromarray(rgb.repeat(3, axis=0)), "JPEG", {"quality": 90, "exif": TURNED}),
        (Image.fromarray(rgb[:20, :30]), "PNG", {}),  # enlarged
        (Image.fromarray(rgb[:38, :30]), "PNG", {}),  # shrunk by little
        (Image.fromarray(rgb[:50, :30]), "PNG", {}),  # shrunk by more
        (Image.fromarray(rgb), "JPEG", {"quality": 90}),
        (Image.fromarray(rgb), "PNG", {"icc_profile": make_profile(1.0, (0.31, 0.33, 0.7, 0.3, 0.2, 0.7, 0.1, 0.1))}),
        (Image.fromarray(ramp.astype(np.float32)), "TIFF", {"compression": "tiff_lzw"}),
    ]
    digest = hashlib.sha256()
    for image, file_format, options in images:
        file = io.BytesIO()
        image.save(file, file_format, **options)
        digest.update(decode(file.getvalue(), 32).pixels.tobytes())
    decoder = "5, pillow 13.0.0, simplejpeg 1.9.0, opencv-python-headless 4.14.0.94"
    assert (DECODER, digest.hexdigest()[:16]) == (decoder, "94b2fdacb3e66828")


def test_a_worker_that_computes_different_features_stops_the_job_before_it_writes_any(
    spark: SparkSession, folder: Path, tiny_backbone: Backbone, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Simulates another processor: the graph computes other features than its golden set has."""
    model = onnx.load(tiny_backbone.path)
    scale = next(tensor for tensor in model.graph.initializer if tensor.dims == [3, 1, 1])
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(1.02), scale.name))
    content = model.SerializeToString()
    path = tmp_path_factory.mktemp("other") / f"{hashlib.sha256(content).hexdigest()}.onnx"
    path.write_bytes(content)
    with pytest.raises(PythonException, match="produces different features from the machine that exported"):
        extract_features(read_images(spark, str(folder)), open_backbone(path)).collect()
