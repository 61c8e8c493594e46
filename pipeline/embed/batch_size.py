"""Batch size: the number of images per call of a graph, measured on the machine that stores the graph.

It is stored beside the graph as `<digest>.json`: inside the file, a measured number would change the digest.
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

DEFAULT: Final = 4  # if nothing was measured; 1 to 8 differ by less than a sixth in every network tried
SIZES: Final = (1, 2, 4, 8, 16)
MIN_SPEEDUP: Final = 1.02  # justifies the memory of a larger batch
MIN_IMAGES: Final = 4  # per measurement: one image alone would be too noisy
MAX_PASSES: Final = 9
CLEAR_SLOWDOWN: Final = 1.1  # against the fastest: after `FIRST_PASSES`, such sizes are not measured further
FIRST_PASSES: Final = 3
MAX_CPU_SECONDS: Final = 3  # no pass begins later; EfficientNet-Lite0 fits nine passes, and five chose at random


@dataclass(frozen=True)
class BatchCosts:
    """The batch size to use, and the CPU time per image on one core by batch size, on the machine that measured it."""

    batch_size: int
    cpu_milliseconds: Mapping[int, float]

    def to_text(self) -> str:
        """The costs as JSON."""
        return json.dumps(asdict(self), indent=2)


def sidecar(graph: Path) -> Path:
    """The file beside a graph that stores its costs."""
    return graph.with_suffix(".json")


def read_batch_costs(graph: Path) -> BatchCosts | None:
    """Reads the costs beside a graph; None if the file is missing or damaged, since only speed depends on it."""
    try:
        stored = json.loads(sidecar(graph).read_text())
        return BatchCosts(stored["batch_size"], {int(size): ms for size, ms in stored["cpu_milliseconds"].items()})
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def measure_batch_costs(embed: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> BatchCosts:
    """Measures each of `SIZES` in interleaved passes, clearly slower ones in fewer, and chooses the best.

    Args:
        embed: the graph, on one thread.
        pixels: real images, at least one; repeated to fill larger batches.
    """
    repeated = np.concatenate([pixels] * -(-max(SIZES) // len(pixels)))
    seconds: dict[int, list[float]] = {size: [] for size in SIZES}
    embed(repeated[:1])
    started, measured = time.thread_time(), list(SIZES)
    for number in range(1, MAX_PASSES + 1):
        for size in measured:
            seconds[size].append(_measure(embed, repeated, size))
        if time.thread_time() - started > MAX_CPU_SECONDS:
            break
        if number == FIRST_PASSES:
            medians = {size: statistics.median(each) for size, each in seconds.items()}
            fastest = min(medians.values())
            measured = [size for size, each in medians.items() if each <= CLEAR_SLOWDOWN * fastest]
    milliseconds = {size: round(1000 * statistics.median(each), 4) for size, each in seconds.items()}
    return BatchCosts(choose_batch_size(milliseconds), milliseconds)


def choose_batch_size(milliseconds: Mapping[int, float]) -> int:
    """Chooses the smallest batch size within `MIN_SPEEDUP` of the fastest."""
    fastest = min(milliseconds.values())
    return min(size for size, each in milliseconds.items() if each <= MIN_SPEEDUP * fastest)


def _measure(embed: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, size: int) -> float:
    """CPU-seconds per image."""
    batches = [pixels[start : start + size] for start in range(0, max(size, MIN_IMAGES), size)]
    started = time.thread_time()
    for batch in batches:
        embed(batch)
    return (time.thread_time() - started) / sum(map(len, batches))
