"""Spark's daemon with slow workers that record which images they have embedded, which its forks inherit."""

import hashlib
import os
import time
from pathlib import Path

import pyarrow as pa
from pyspark.daemon import manager

import pipeline.images.feature_cache  # noqa: F401 as in pipeline/daemon.py
from pipeline.embed.embedding import Embedding
from pipeline.embed.sandbox import Sandbox
from pipeline.storage.cpu_timer import CpuTimer

_run = Sandbox.run


def run_slowly(sandbox: Sandbox, contents: pa.Array, cpu_timer: CpuTimer) -> pa.RecordBatch:
    result = _run(sandbox, contents, cpu_timer)
    if isinstance(sandbox.work, Embedding):
        time.sleep(float(os.environ["IMAGE_SECONDS"]) * len(contents))
        digests = [hashlib.sha256(content).hexdigest() + "\n" for content in contents.to_pylist()]
        with Path(os.environ["EMBEDDED_LOG"]).open("a") as log:
            log.write("".join(digests))
    return result


Sandbox.run = run_slowly

if __name__ == "__main__":
    manager()
