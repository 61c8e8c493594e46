"""Embedding: from the bytes of images to their vectors in one process; `sandbox.py` survives images that kill it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.embed.backbone import Embed
from pipeline.embed.decode import load
from pipeline.embed.letterbox import letterbox
from pipeline.embed.limits import DEFAULT_LIMITS
from pipeline.embed.quality import find_flags
from pipeline.embed.reasons import CRASHED, UnreadableImageError
from pipeline.storage.cpu_timer import CpuTimer

DECODE: Final = "decode"
INFER: Final = "infer"

EMBEDDED: Final = pa.schema(
    {"features": pa.list_(pa.float32()), "width": pa.int32(), "height": pa.int32()}
    | dict.fromkeys(("format", "error"), pa.string())
    | {"quality_flags": pa.list_(pa.string())}
)


@dataclass(frozen=True)
class Attempt:
    """An attempt to embed a batch, after earlier attempts that killed the process.

    Attributes:
        on_stage: called at the start of `DECODE` or `INFER`, with the stage and the numbers of the images.
        reasons: why images have no features, by their numbers; these are skipped.
        alone: numbers of images to embed one at a time, since one of them killed the process.
    """

    on_stage: Callable[[str, Sequence[int]], None] = lambda stage, numbers: None
    reasons: Mapping[int, str] = field(default_factory=dict)
    alone: Collection[int] = frozenset()


FIRST_ATTEMPT: Final = Attempt()


def embed_images(
    contents: Sequence[bytes],
    embed: Embed,
    size: int,
    batch_size: int,
    max_pixels: int = DEFAULT_LIMITS.pixels,
    cpu_timer: CpuTimer | None = None,
    attempt: Attempt = FIRST_ATTEMPT,
) -> pa.RecordBatch:
    """Decodes and embeds images in small batches, while the pixels are still in the processor's cache.

    Args:
        contents: bytes of the images.
        embed: the graph.
        size: side of its square input, in pixels.
        batch_size: images per call of the graph.
        max_pixels: limit for one image.
        cpu_timer: gets the laps decode, resize and infer.
        attempt: outcome of earlier attempts at the same images.

    Returns:
        The columns of `EMBEDDED`, one row per image.
    """
    cpu_timer = cpu_timer or CpuTimer()
    rows: list[tuple[int | None, int | None, str | None, str | None, list[str] | None]] = []
    waiting: dict[int, np.ndarray] = {}
    vectors: list[np.ndarray] = []

    def embed_waiting() -> None:
        if waiting:
            attempt.on_stage(INFER, list(waiting))
            vectors.append(embed(np.stack(list(waiting.values()))))
            waiting.clear()
            cpu_timer.lap("infer")

    for number, content in enumerate(contents):
        attempt.on_stage(DECODE, [number])
        try:
            if reason := attempt.reasons.get(number):
                raise UnreadableImageError(reason)
            loaded = load(content, size, max_pixels)
            flags = find_flags(loaded.pixels, loaded.width, loaded.height)
        except UnreadableImageError as error:
            rows.append((*error.shape, None, str(error), None))
            cpu_timer.lap("decode")
            continue
        except MemoryError:
            raise  # as likely the fault of this process as of the image
        except Exception:  # noqa: BLE001 an unexpected error on untrusted bytes costs this image alone
            rows.append((None, None, None, CRASHED, None))
            cpu_timer.lap("decode")
            continue
        cpu_timer.lap("decode")
        if number in attempt.alone:
            embed_waiting()
        waiting[number] = letterbox(loaded.pixels, size)
        rows.append((loaded.width, loaded.height, loaded.format, None, flags))
        cpu_timer.lap("resize")
        if len(waiting) == batch_size or number in attempt.alone:
            embed_waiting()
    embed_waiting()
    columns = dict(zip(EMBEDDED.names[1:], zip(*rows, strict=True) if rows else [()] * 5, strict=True))
    features = _as_lists(vectors, np.array([error is None for error in columns["error"]], bool))
    others = [pa.array(values, EMBEDDED.field(name).type) for name, values in columns.items()]
    return pa.RecordBatch.from_arrays([features, *others], schema=EMBEDDED)


def _as_lists(vectors: list[np.ndarray], is_readable: np.ndarray) -> pa.ListArray:
    """Converts vectors to a list column, null where an image is not readable, without a Python object per value."""
    values = np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)
    offsets = pa.array(np.append(0, np.cumsum(is_readable)) * values.shape[1], pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(values.ravel()), mask=pa.array(~is_readable))
