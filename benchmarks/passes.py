"""Passes: the order, batch size and threads that decode and embed images fastest on one core.

OPENBLAS_NUM_THREADS=1 python -m benchmarks.passes FOLDER GRAPH...
"""

import argparse
import os
import queue
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.embed.attempt import FIRST_ATTEMPT, load_each
from pipeline.embed.backbone import Embed, load_backbone, open_backbone
from pipeline.embed.embedding import DECODED_IMAGES
from pipeline.embed.fits import LETTERBOX
from pipeline.embed.limits import DEFAULT_LIMITS
from pipeline.embed.miniature import make_miniature
from pipeline.embed.quality import find_flags
from pipeline.storage.cpu_timer import CpuTimer

BATCHES: Final = (1, 2, 4, 8, 16)

Pass = Callable[[list[bytes], Embed, int, int], None]


def in_turns(contents: list[bytes], embed: Embed, size: int, batch: int) -> None:
    """Decodes a batch, embeds it, and so on."""
    for start in range(0, len(contents), batch):
        embed(np.stack(_decode(contents[start : start + batch], size)))


def decoded_ahead(contents: list[bytes], embed: Embed, size: int, batch: int) -> None:
    """Decodes `DECODED_IMAGES`, then embeds them in batches, as Daylight does."""
    for start in range(0, len(contents), DECODED_IMAGES):
        pixels = _decode(contents[start : start + DECODED_IMAGES], size)
        for first in range(0, len(pixels), batch):
            embed(np.stack(pixels[first : first + batch]))


def in_two_threads(contents: list[bytes], embed: Embed, size: int, batch: int) -> None:
    """Decodes in one thread, at most two batches ahead, and embeds in another."""
    waiting: queue.Queue[np.ndarray | None] = queue.Queue(2)

    def decode_all() -> None:
        for start in range(0, len(contents), batch):
            waiting.put(np.stack(_decode(contents[start : start + batch], size)))
        waiting.put(None)

    threading.Thread(target=decode_all).start()
    while (pixels := waiting.get()) is not None:
        embed(pixels)


def _decode(contents: list[bytes], size: int) -> list[np.ndarray]:
    """Decodes images, with quality flags and miniatures."""
    limit, timer = DEFAULT_LIMITS.pixels, CpuTimer()
    loaded = load_each(contents, size, limit, LETTERBOX, FIRST_ATTEMPT, timer, find_flags, make_miniature)
    return [image.pixels for image in loaded if image.pixels is not None]


PASSES: Final[tuple[Pass, ...]] = (in_turns, decoded_ahead, in_two_threads)


def measure(contents: list[bytes], embed: Embed, size: int, rounds: int) -> Iterator[tuple[str, int, float, float]]:
    """Yields pass, batch size, and milliseconds of CPU and wall clock per image: medians of interleaved rounds."""
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for each in PASSES:
            for batch in BATCHES:
                cpu, clock = time.process_time(), time.monotonic()
                each(contents, embed, size, batch)
                spent = (time.process_time() - cpu, time.monotonic() - clock)
                found.setdefault((each.__name__, batch), []).append(spent)
    for (name, batch), spent in found.items():
        cpu, clock = (1000 * statistics.median(column) / len(contents) for column in zip(*spent, strict=True))
        yield name, batch, cpu, clock


def main() -> None:
    """Measures every graph on one core and prints a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.passes", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("graphs", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=256, help="number of images")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    files = sorted(file for file in options.folder.rglob("*") if file.is_file())
    contents = [file.read_bytes() for file in files[:: max(1, len(files) // options.count)][: options.count]]
    print("| backbone | pass | batch | CPU ms | clock ms |\n|---|---|---|---|---|")
    for graph in options.graphs:
        backbone = open_backbone(graph.resolve())
        found = measure(contents, load_backbone(backbone.path), backbone.size, options.rounds)
        for name, batch, cpu, clock in found:
            row = f"{backbone.name} {backbone.precision} | {name.replace('_', ' ')} | {batch}"
            print(f"| {row} | {cpu:.2f} | {clock:.2f} |")


if __name__ == "__main__":
    main()
