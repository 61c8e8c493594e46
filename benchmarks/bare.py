"""The floor: one process and one thread that read, decode and infer, and nothing else; or infer alone.

It decodes with Daylight's own function, so that what Daylight costs beyond it is Spark, Arrow, tables and the cache.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.embed.backbone import embed_with, open_backbone, open_session
from pipeline.embed.decode import decode

INFERENCE_PICTURES: Final = 64
INFERENCE_PASSES: Final = 5


def main() -> None:
    """Embeds a folder into one file of features, or times inference on its first pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("graph", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--inference-only", action="store_true")
    options = parser.parse_args()
    backbone = open_backbone(options.graph)
    files = _list(options.folder)
    batch_size = getattr(backbone, "batch_size", 4)
    if options.inference_only:
        pixels = np.stack([decode(file.read_bytes(), backbone.size).pixels for file in files[:INFERENCE_PICTURES]])
        facts = {"inference_seconds": _time_inference(pixels, options.graph, batch_size)}
    else:
        embed = embed_with(open_session(options.graph))
        features = [embed(pixels) for pixels in _decode(files, backbone.size, batch_size)]
        np.save(options.out, np.concatenate(features))
        facts = {"picture_count": sum(map(len, features))}
    print(json.dumps({**facts, "batch_size": batch_size}))


def _list(folder: Path) -> list[Path]:
    return [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]


def _decode(files: list[Path], size: int, batch_size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(files), batch_size):
        yield np.stack([decode(file.read_bytes(), size).pixels for file in files[start : start + batch_size]])


def _time_inference(pixels: np.ndarray, graph: Path, batch_size: int) -> float:
    """CPU-seconds of one picture: the median of some passes behind one that is not counted."""
    embed = embed_with(open_session(graph))
    laps = []
    for _ in range(1 + INFERENCE_PASSES):
        started = time.thread_time()
        for start in range(0, len(pixels), batch_size):
            embed(pixels[start : start + batch_size])
        laps.append((time.thread_time() - started) / len(pixels))
    return float(np.median(laps[1:]))


if __name__ == "__main__":
    main()
