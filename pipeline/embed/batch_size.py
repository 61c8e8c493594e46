"""The batch size of a graph: how many pictures it takes at once, measured on the machine that stores it.

It lies beside the graph as `<digest>.json`: a measured number inside the file would give one network many digests.
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

DEFAULT: Final = 4
"""Where nothing was measured; 1 to 8 differ by less than a sixth in every network tried."""

SIZES: Final = (1, 2, 4, 8, 16)
WORTH: Final = 1.02
"""A larger batch takes more memory, so that it must be faster by two hundredths."""

MIN_PICTURES: Final = 4
"""In every measurement, so that a batch of one is not measured on one picture."""

MAX_PASSES: Final = 9
MAX_CPU_SECONDS: Final = 3
"""No further pass begins later: EfficientNet-Lite0 gets nine in 3 s, where five in half the time chose by chance."""


@dataclass(frozen=True)
class BatchCosts:
    """What pictures cost in batches of several sizes, on the machine that measured it.

    Attributes:
        batch_size: the one to use.
        cpu_milliseconds: CPU time of one core to embed one picture, by batch size.
    """

    batch_size: int
    cpu_milliseconds: Mapping[int, float]

    def to_text(self) -> str:
        """The costs as JSON."""
        return json.dumps(asdict(self), indent=2)


def sidecar(graph: Path) -> Path:
    """The file beside a graph that holds its costs."""
    return graph.with_suffix(".json")


def read_batch_costs(graph: Path) -> BatchCosts | None:
    """The costs that lie beside a graph; None where they are missing or are not ours.

    Nothing depends on them but speed, so that a damaged file counts as none, and is measured anew.
    """
    try:
        stored = json.loads(sidecar(graph).read_text())
        return BatchCosts(stored["batch_size"], {int(size): ms for size, ms in stored["cpu_milliseconds"].items()})
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def measure_batch_costs(embed: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> BatchCosts:
    """Measures batches of `SIZES` in turns, and chooses among them.

    Args:
        embed: the graph, from uint8 `[n, size, size, 3]` to float32 `[n, d]`; on one thread.
        pixels: real pictures, at least one; they are repeated where a batch is larger.
    """
    repeated = np.concatenate([pixels] * -(-max(SIZES) // len(pixels)))
    seconds: dict[int, list[float]] = {size: [] for size in SIZES}
    embed(repeated[:1])
    started = time.thread_time()
    for _ in range(MAX_PASSES):
        for size in SIZES:
            seconds[size].append(_measure(embed, repeated, size))
        if time.thread_time() - started > MAX_CPU_SECONDS:
            break
    milliseconds = {size: round(1000 * statistics.median(each), 4) for size, each in seconds.items()}
    return BatchCosts(choose_batch_size(milliseconds), milliseconds)


def choose_batch_size(milliseconds: Mapping[int, float]) -> int:
    """The smallest batch that is as good as the fastest; milliseconds of a picture by batch size."""
    fastest = min(milliseconds.values())
    return min(size for size, each in milliseconds.items() if each <= WORTH * fastest)


def _measure(embed: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, size: int) -> float:
    """CPU-seconds of a picture."""
    batches = [pixels[start : start + size] for start in range(0, max(size, MIN_PICTURES), size)]
    started = time.thread_time()
    for batch in batches:
        embed(batch)
    return (time.thread_time() - started) / sum(map(len, batches))
