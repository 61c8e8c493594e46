"""The floor: one process with one thread that reads, decodes and runs inference, or only runs inference.

It decodes with Daylight's own function, so the difference to Daylight is the cost of Spark, Arrow, tables and cache.
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

INFERENCE_IMAGES: Final = 64
INFERENCE_PASSES: Final = 5


def main() -> None:
    """Embeds a folder into one file of features, or times inference on its first images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("graph", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--inference-only", action="store_true")
    options = parser.parse_args()
    backbone = open_backbone(options.graph)
    files = _list(options.folder)
    batch_size = backbone.batch_size
    if options.inference_only:
        pixels = np.stack([decode(file.read_bytes(), backbone.size).pixels for file in files[:INFERENCE_IMAGES]])
        facts = {"inference_seconds": _time_inference(pixels, options.graph, batch_size)}
    else:
        embed = embed_with(open_session(options.graph))
        features = [embed(pixels) for pixels in _decode(files, backbone.size, batch_size)]
        np.save(options.out, np.concatenate(features))
        facts = {"image_count": sum(map(len, features))}
    print(json.dumps({**facts, "batch_size": batch_size}))


def _list(folder: Path) -> list[Path]:
    return [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]


def _decode(files: list[Path], size: int, batch_size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(files), batch_size):
        yield np.stack([decode(file.read_bytes(), size).pixels for file in files[start : start + batch_size]])


def _time_inference(pixels: np.ndarray, graph: Path, batch_size: int) -> float:
    """CPU-seconds per image: the median of several passes after an unmeasured one."""
    embed = embed_with(open_session(graph))
    passes = []
    for _ in range(1 + INFERENCE_PASSES):
        started = time.thread_time()
        for start in range(0, len(pixels), batch_size):
            embed(pixels[start : start + batch_size])
        passes.append((time.thread_time() - started) / len(pixels))
    return float(np.median(passes[1:]))


if __name__ == "__main__":
    main()
