"""Passes: in which order, in what batches and with how many threads one core decodes and embeds pictures soonest.

python -m benchmarks.passes FOLDER GRAPH...
"""

import os
import queue
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.embed.backbone import Embed, load_backbone, open_backbone
from pipeline.embed.decode import decode

BATCHES: Final = (1, 2, 4, 8, 16)
ROUNDS: Final = 5
COUNT: Final = 256
AHEAD: Final = 64
"""Pictures decoded before the first of them is embedded, where decoding runs ahead."""

Pass = Callable[[list[bytes], Embed, int, int], None]


def in_turns(contents: list[bytes], embed: Embed, size: int, batch: int) -> None:
    """Decodes one batch, embeds it, and so on: what the project does."""
    for start in range(0, len(contents), batch):
        embed(np.stack([decode(content, size).pixels for content in contents[start : start + batch]]))


def decoded_ahead(contents: list[bytes], embed: Embed, size: int, batch: int) -> None:
    """Decodes many pictures, and then embeds them in batches."""
    for start in range(0, len(contents), AHEAD):
        pixels = np.stack([decode(content, size).pixels for content in contents[start : start + AHEAD]])
        for first in range(0, len(pixels), batch):
            embed(pixels[first : first + batch])


def in_two_threads(contents: list[bytes], embed: Embed, size: int, batch: int) -> None:
    """One thread decodes while another embeds, two batches apart at most."""
    waiting: queue.Queue[np.ndarray | None] = queue.Queue(2)

    def decode_all() -> None:
        for start in range(0, len(contents), batch):
            waiting.put(np.stack([decode(content, size).pixels for content in contents[start : start + batch]]))
        waiting.put(None)

    threading.Thread(target=decode_all).start()
    while (pixels := waiting.get()) is not None:
        embed(pixels)


PASSES: Final[tuple[Pass, ...]] = (in_turns, decoded_ahead, in_two_threads)


def measure(contents: list[bytes], embed: Embed, size: int) -> Iterator[tuple[str, int, float, float]]:
    """Name of the pass, batch, milliseconds of CPU and of the clock for a picture: medians of interleaved rounds."""
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(ROUNDS):
        for each in PASSES:
            for batch in BATCHES:
                cpu, clock = time.process_time(), time.monotonic()
                each(contents, embed, size, batch)
                spent = (time.process_time() - cpu, time.monotonic() - clock)
                found.setdefault((each.__name__, batch), []).append(spent)
    for (name, batch), rounds in found.items():
        cpu, clock = (1000 * statistics.median(column) / len(contents) for column in zip(*rounds, strict=True))
        yield name, batch, cpu, clock


def main() -> None:
    """Measures every graph on one core and prints a table."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    files = sorted(file for file in Path(sys.argv[1]).rglob("*") if file.is_file())
    contents = [file.read_bytes() for file in files[:: max(1, len(files) // COUNT)][:COUNT]]
    print("| backbone | pass | batch | CPU ms | clock ms |\n|---|---|---|---|---|")
    for graph in sys.argv[2:]:
        backbone = open_backbone(Path(graph).resolve())
        for name, batch, cpu, clock in measure(contents, load_backbone(backbone.path), backbone.size):
            told = f"{backbone.name} {backbone.precision} | {name.replace('_', ' ')} | {batch}"
            print(f"| {told} | {cpu:.2f} | {clock:.2f} |")


if __name__ == "__main__":
    main()
