"""The quality screen: how many planted faults it finds in the photos of a folder, how many others, and its cost.

    python -m benchmarks.quality FOLDER [--count N]

Every photo is screened as it is; a sample is planted with faults of each kind and saved again as a JPEG. Precision
counts every flagged photo as it is as a mistake, at one planted photo to one as it is; look at those listed, since
some are truly bad.
"""

import argparse
import io
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from PIL import Image, ImageFilter

from pipeline.embed.decode import load
from pipeline.embed.quality import BLANK, BLURRED, DARK, TINY, find_flags

SIZE: Final = 224
ROUNDS: Final = 9
QUALITIES: Final = (60, 75, 85, 95)
"""Of the JPEGs with planted faults, drawn at random."""

Plant = Callable[[Image.Image, np.random.Generator], Image.Image]


def _blur(radius: float) -> Plant:
    return lambda image, _: image.filter(ImageFilter.GaussianBlur(radius))


def _defocus(radius: int) -> Plant:
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return lambda image, _: _convolve(image, rows**2 + columns**2 <= radius**2)


def _shake(length: int) -> Plant:
    """Motion along a line of a length in pixels, at a random angle."""

    def plant(image: Image.Image, random: np.random.Generator) -> Image.Image:
        line = np.zeros((length, length), np.uint8)
        line[length // 2] = 255
        turn = cv2.getRotationMatrix2D((length // 2, length // 2), random.uniform(0, 180), 1)
        return _convolve(image, cv2.warpAffine(line, turn, (length, length)))

    return plant


def _convolve(image: Image.Image, kernel: np.ndarray) -> Image.Image:
    weights = kernel.astype(np.float32) / kernel.sum()
    return Image.fromarray(cv2.filter2D(np.asarray(image), -1, weights, borderType=cv2.BORDER_REFLECT))


def _darken(factor: float) -> Plant:
    return lambda image, _: image.point(lambda value: value * factor)


def _blank(deviation: float) -> Plant:
    def plant(image: Image.Image, random: np.random.Generator) -> Image.Image:
        noise = random.normal(0, deviation, (image.height, image.width, 3)) if deviation else 0.0
        shape = (image.height, image.width, 3)
        return Image.fromarray((random.integers(0, 256, 3) + np.broadcast_to(noise, shape)).clip(0, 255).astype("u1"))

    return plant


def _shrink(side: int) -> Plant:
    def plant(image: Image.Image, _: np.random.Generator) -> Image.Image:
        image.thumbnail((side, side))
        return image

    return plant


PLANTS: Final[dict[tuple[str, str], Plant]] = {
    **{(BLURRED, f"Gaussian {radius}"): _blur(radius) for radius in (2, 3, 4, 6, 10)},
    **{(BLURRED, f"defocus {radius}"): _defocus(radius) for radius in (4, 6, 9)},
    **{(BLURRED, f"motion {length}"): _shake(length) for length in (11, 15, 21, 31)},
    **{(DARK, f"factor {factor}"): _darken(factor) for factor in (0.02, 0.05, 0.1, 0.2)},
    **{(BLANK, f"noise {deviation}"): _blank(deviation) for deviation in (0, 1, 3)},
    **{(TINY, f"side {side}"): _shrink(side) for side in (8, 16, 24, 31)},
}


def main() -> None:
    """Prints recall by plant, recall and precision by flag, the flagged photos, and the cost."""
    parser = argparse.ArgumentParser(prog="benchmarks.quality", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200, help="photos to plant faults in")
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    untouched = {path: _screen(path.read_bytes()) for path in paths}
    random = np.random.default_rng(0)
    chosen = random.permutation(len(paths))[: options.count]
    planted = {
        (flag, name): [
            _screen(_save(plant(Image.open(paths[number]).convert("RGB"), random), random)) for number in chosen
        ]
        for (flag, name), plant in PLANTS.items()
    }
    print("| plant | found | other flags |\n|---|---|---|")
    for (flag, name), found in planted.items():
        others = Counter(each for flags in found for each in flags if each != flag)
        print(f"| {flag}, {name} | {_share(flag, found):.3f} | {dict(others) or ''} |")
    print("\n| flag | recall | share of the photos as they are | precision |\n|---|---|---|---|")
    for flag in (BLURRED, DARK, BLANK, TINY):
        recall = statistics.mean(_share(flag, found) for (kind, _), found in planted.items() if kind == flag)
        share = _share(flag, list(untouched.values()))
        print(f"| {flag} | {recall:.3f} | {share:.4f} | {recall / (recall + share):.3f} |")
    print(f"\ncost: {_measure_microseconds([paths[number] for number in chosen]):.0f} microseconds of CPU an image")
    print(f"flagged among {len(paths)} photos as they are:")
    print(
        "\n".join(
            f"  {path.relative_to(options.folder)}: {', '.join(flags)}" for path, flags in untouched.items() if flags
        )
    )


def _share(flag: str, found: list[list[str]]) -> float:
    return sum(flag in flags for flags in found) / len(found)


def _save(image: Image.Image, random: np.random.Generator) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(random.choice(QUALITIES)))
    return file.getvalue()


def _screen(content: bytes) -> list[str]:
    loaded = load(content, SIZE)
    return find_flags(loaded.pixels, loaded.width, loaded.height)


def _measure_microseconds(paths: Sequence[Path]) -> float:
    """CPU time of the screen per image right after decoding, as in production; the median over `ROUNDS` of the mean."""
    rounds = []
    for _ in range(ROUNDS):
        seconds = 0.0
        for path in paths:
            loaded = load(path.read_bytes(), SIZE)
            started = time.thread_time()
            find_flags(loaded.pixels, loaded.width, loaded.height)
            seconds += time.thread_time() - started
        rounds.append(1e6 * seconds / len(paths))
    return statistics.median(rounds)


if __name__ == "__main__":
    main()
