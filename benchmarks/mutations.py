"""Mutations: whether a batch of damaged files of every format ends with a row for every file.

    python -m benchmarks.mutations FOLDER GRAPH [--count 20000]

FOLDER has sound photos, the seeds. Each is stored in every format and layout that Pillow writes, HEIC too where the
extra is installed; a file is one of those with changed, missing, inserted or repeated bytes. The same seed gives the
same files.
"""

import argparse
import io
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from PIL import Image

from pipeline.embed.backbone import open_backbone
from pipeline.embed.file_kinds import HAS_HEIF
from pipeline.images.features import extract_features
from pipeline.images.image_files import read_images
from resources.spark.session import SparkResource

SIDES: Final = (160, 48)  # of the seeds, in pixels
LAYOUTS: Final[tuple[tuple[str, str, dict[str, object]], ...]] = (
    ("JPEG", "RGB", {}),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "L", {}),
    ("JPEG", "CMYK", {}),
    ("MPO", "RGB", {}),
    ("PNG", "RGB", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "P", {}),
    ("PNG", "I;16", {}),
    ("GIF", "P", {}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("BMP", "RGB", {}),
    ("AVIF", "RGB", {}),
    *(("TIFF", "RGB", {"compression": name}) for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "zstd")),
    ("TIFF", "1", {"compression": "group4"}),
    ("TIFF", "F", {}),
    ("TIFF", "I;16", {"compression": "packbits"}),
    ("TIFF", "LAB", {}),
)
HEIC: Final[tuple[tuple[str, str, dict[str, object]], ...]] = (("HEIF", "RGB", {}), ("HEIF", "RGBA", {}))


def main() -> None:
    """Prints the number of files by format or reason, and fails if a file has no row."""
    parser = argparse.ArgumentParser(prog="benchmarks.mutations", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("graph", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=20261129)
    options = parser.parse_args()
    seeds = list(_make_seeds(options.folder))
    chance = random.Random(options.seed)  # noqa: S311 repeatable, and no secret
    spark = SparkResource(master="local[2,4]", spark_config={}).spark_session
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.count):
            Path(folder, f"{number:06}").write_bytes(_mutate(chance.choice(seeds), chance))
        started = time.monotonic()
        images = read_images(spark, folder).cache()
        rows = extract_features(images, open_backbone(options.graph)).select("image_id", "format", "error").collect()
        seconds = time.monotonic() - started
        file_count, image_count = images.count(), images.select("image_id").distinct().count()
    counts = Counter(row["error"] or row["format"] for row in rows)
    for name, count in counts.most_common():
        print(f"{count:6}  {name}")
    print(f"{len(seeds)} seeds, {file_count} files, {image_count} distinct, {len(rows)} rows, {seconds:.0f} s")
    if not len(rows) == image_count or file_count != options.count:
        raise SystemExit("a file has no row")


def _make_seeds(folder: Path) -> Iterator[bytes]:
    photos = list(islice((path for path in sorted(folder.rglob("*")) if path.is_file()), len(SIDES)))
    for path, side in zip(photos, SIDES, strict=False):
        photo = Image.open(path).convert("RGB")
        photo.thumbnail((side, side))
        for file_format, mode, settings in (*LAYOUTS, *(HEIC if HAS_HEIF else ())):
            file = io.BytesIO()
            _convert(photo, mode).save(file, file_format, **settings)
            yield file.getvalue()


def _convert(photo: Image.Image, mode: str) -> Image.Image:
    if mode == "I;16":
        return photo.convert("I").convert("I;16")
    return Image.frombytes("LAB", photo.size, photo.tobytes()) if mode == "LAB" else photo.convert(mode)


def _mutate(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16, 64))):
        place = chance.randrange(len(changed)) if chance.random() < 0.5 else chance.randrange(min(400, len(changed)))
        match chance.randrange(6):
            case 0 | 1:
                changed[place] = chance.randrange(256)
            case 2:
                changed[place] ^= 1 << chance.randrange(8)
            case 3:
                changed[place : place + 4] = chance.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\1"))
            case 4:
                changed[place:place] = chance.randbytes(chance.randrange(1, 8))
            case _:
                del changed[place : place + chance.randrange(1, 8)]
        if not changed:
            return b""
    return bytes(changed[: chance.randrange(len(changed))]) if chance.random() < 0.05 else bytes(changed)


if __name__ == "__main__":
    main()
