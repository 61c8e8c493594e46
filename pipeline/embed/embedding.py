"""Embedding: from the bytes of pictures to their vectors, a few at a time, in one process.

Which process that is, and what becomes of a picture that ends it, is `sandbox.py`; which pictures, `features.py`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.embed.backbone import Embed
from pipeline.embed.decode import UnreadableImageError, load
from pipeline.embed.letterbox import letterbox
from pipeline.embed.limits import DEFAULT_LIMITS
from pipeline.storage.cpu_timer import CpuTimer

DECODE: Final = "decode"
INFER: Final = "infer"

CRASHED: Final = "crashed the decoder"

EMBEDDED: Final = pa.schema(
    [
        ("features", pa.list_(pa.float32())),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("format", pa.string()),
        ("error", pa.string()),
    ]
)

Begin = Callable[[str, Sequence[int]], None]
"""Is told that `DECODE` or `INFER` begins, and of which pictures, by their numbers."""


@dataclass(frozen=True)
class Attempt:
    """An attempt at pictures, after others that did not end well.

    Attributes:
        begin: is told what begins.
        reasons: why pictures have no features, by their numbers; these are not tried again.
        alone: numbers of pictures that the graph gets one at a time, since one of them ended it.
    """

    begin: Begin = lambda stage, numbers: None
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
    """Decodes and embeds pictures, a few at a time: pixels are used while they are in the processor's cache.

    Args:
        contents: the bytes of the pictures.
        embed: the graph.
        size: side of the square that it takes, in pixels.
        batch_size: pictures given to it at once.
        max_pixels: that a picture may have.
        cpu_timer: its laps here are decode, resize and infer.
        attempt: at these pictures.

    Returns:
        The columns of `EMBEDDED`, one row for each picture; nulls where there is none.
    """
    cpu_timer = cpu_timer or CpuTimer()
    rows: list[tuple[int | None, int | None, str | None, str | None]] = []
    waiting: dict[int, np.ndarray] = {}
    vectors: list[np.ndarray] = []

    def embed_waiting() -> None:
        if waiting:
            attempt.begin(INFER, list(waiting))
            vectors.append(embed(np.stack(list(waiting.values()))))
            waiting.clear()
            cpu_timer.lap("infer")

    for number, content in enumerate(contents):
        attempt.begin(DECODE, [number])
        try:
            if reason := attempt.reasons.get(number):
                raise UnreadableImageError(reason)
            photo = load(content, size, max_pixels)
        except UnreadableImageError as error:
            rows.append((*error.shape, None, str(error)))
            cpu_timer.lap("decode")
            continue
        except MemoryError:
            raise  # this process's fault, as likely as the picture's
        except Exception:  # noqa: BLE001 what no decoder should raise, at bytes from strangers, costs that picture alone
            rows.append((None, None, None, CRASHED))
            cpu_timer.lap("decode")
            continue
        cpu_timer.lap("decode")
        if number in attempt.alone:
            embed_waiting()
        waiting[number] = letterbox(photo.image, size)
        rows.append((photo.width, photo.height, photo.format, None))
        cpu_timer.lap("resize")
        if len(waiting) == batch_size or number in attempt.alone:
            embed_waiting()
    embed_waiting()
    widths, heights, formats, errors = zip(*rows, strict=True) if rows else ((), (), (), ())
    features = _as_lists(vectors, np.array([error is None for error in errors], bool))
    told = zip(EMBEDDED.names[1:], (widths, heights, formats, errors), strict=True)
    others = [pa.array(values, EMBEDDED.field(name).type) for name, values in told]
    return pa.RecordBatch.from_arrays([features, *others], schema=EMBEDDED)


def _as_lists(vectors: list[np.ndarray], is_readable: np.ndarray) -> pa.ListArray:
    """The vectors as one column, without an object per row or number; null where a picture is not readable."""
    values = np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)
    offsets = np.append(0, np.cumsum(is_readable)) * values.shape[1]
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(values.ravel()), mask=pa.array(~is_readable)
    )
