"""Photos sent again: how many are recognised after which change, how many others are not new, and what a day costs.

    python -m benchmarks.resent FOLDER

FOLDER has photos at any depth. All are compared with all, and some are saved again. The cost is that of a day of
10,000 images after a month of as many a day, generated from the photos.
"""

import argparse
import hashlib
import io
import resource
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from benchmarks.planted import CHANGES
from pipeline.daily.earlier_images import EARLIER_DAYS, find_first
from pipeline.embed.decode import load
from pipeline.embed.miniature import BYTES, make_miniature
from pipeline.similarity.miniatures import are_equal, find_equal

SIZE: Final = 224  # of the default backbone's input, which the decoder knows
NOISE: Final = 3.0  # of generated miniatures, in brightness
AGAIN: Final = 0.7  # deviation of those sent again, as of JPEGs of quality 30
SEED: Final = 0

Save = Callable[[Image.Image], bytes]


def main() -> None:
    """Prints a row per change, the equal pairs of different photos, and the cost of a day."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=250, help="photos that are saved again")
    parser.add_argument("--day", type=int, default=10_000, help="images of a day")
    options = parser.parse_args()
    random = np.random.default_rng(SEED)
    files = sorted(path for path in options.folder.rglob("*") if is_photo(path))
    started = time.process_time()
    originals = np.stack([shrink(path.read_bytes()) for path in files])
    print(f"{len(files)} photos, {1000 * (time.process_time() - started) / len(files):.2f} CPU-ms to read each")
    chosen = np.sort(random.choice(len(files), min(options.count, len(files)), replace=False))
    print("| saved again | recognised |\n| --- | --- |")
    for name, save in savers(random).items():
        again = np.stack([shrink(save(open_photo(files[number]))) for number in chosen])
        print(f"| {name} | {are_equal(originals[chosen], again).mean():.4f} |", flush=True)
    pairs = [pair for rows in find_equal(originals, np.arange(len(files))) for pair in zip(*rows, strict=True)]
    found = sorted((files[other].name, files[one].name) for one, other in pairs)
    print(f"{len(found)} equal pairs of {len(files) * (len(files) - 1) // 2:,} in the folder: {found[:10]}")
    measure_day(originals, options.day, random)


def is_photo(path: Path) -> bool:
    """Whether Pillow opens the file."""
    try:
        return path.is_file() and Image.open(path).size != (0, 0)
    except UnidentifiedImageError:
        return False


def open_photo(path: Path) -> Image.Image:
    """Opens a photo in RGB."""
    return Image.open(path).convert("RGB")


def shrink(content: bytes) -> np.ndarray:
    """The miniature of a file, uint8 `[288]`."""
    return np.frombuffer(make_miniature(load(content, SIZE).pixels), np.uint8)


def savers(random: np.random.Generator) -> dict[str, Save]:
    """Encodings and sizes, to be recognised, and the changes of `benchmarks.planted`, most of which are not."""

    def encode(encoding: str, scale: float = 1.0, **parameters: int) -> Save:
        def save(image: Image.Image) -> bytes:
            size = (max(8, round(image.width * scale)), max(8, round(image.height * scale)))
            file = io.BytesIO()
            image.resize(size, Image.Resampling.LANCZOS).save(file, encoding, **parameters)
            return file.getvalue()

        return save

    saved = {f"JPEG, quality {quality}": encode("JPEG", quality=quality) for quality in (95, 75, 50, 30)}
    saved |= {"WebP, quality 80": encode("WEBP", quality=80), "PNG": encode("PNG")}
    saved |= {f"{scale:.2f} of the size": encode("JPEG", scale, quality=85) for scale in (0.25, 0.5, 0.75, 1.5)}
    for name, change in CHANGES.items():
        saved[name] = lambda image, change=change: encode("JPEG", quality=80)(change(image, random))
    return saved


def measure_day(originals: np.ndarray, count: int, random: np.random.Generator) -> None:
    """Times a day after `EARLIER_DAYS` of as many images, and prints the peak memory above the stored rows."""
    total = count * (EARLIER_DAYS + 1)
    made = np.empty((total, BYTES), np.uint8)
    for start in range(0, total, count):
        one, other = originals[random.integers(0, len(originals), (2, count))].astype(np.float32)
        share = random.uniform(0.05, 0.5, (count, 1)).astype(np.float32)
        mixed = (1 - share) * one + share * other + random.normal(0, NOISE, one.shape)
        made[start : start + count] = np.clip(mixed, 0, 255)
    again = random.integers(0, total - count, count // 20)
    made[-len(again) :] = np.clip(np.rint(made[again] + random.normal(0, AGAIN, (len(again), BYTES))), 0, 255)
    first_day = date(2026, 11, 1)
    days = [first_day + timedelta(days=number) for number in range(EARLIER_DAYS + 1)]
    rows = pa.table(
        {
            "day": pa.array(np.repeat(days, count), pa.date32()),
            "image_id": [hashlib.sha256(str(number).encode()).hexdigest() for number in range(total)],
            "miniature": pa.array([row.tobytes() for row in made], pa.binary()),
        }
    )
    before, started = _peak_megabytes(), time.process_time()
    found = find_first(rows, [days[-1]])
    print(
        f"a day of {count:,} after {total - count:,} images: {time.process_time() - started:.1f} CPU-seconds,", end=" "
    )
    print(f"{found.num_rows} of {len(again)} found, {_peak_megabytes() - before:.0f} MB above the peak before")


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
