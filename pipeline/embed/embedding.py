"""Embedding: from the bytes of images to their vectors in one process; `sandbox.py` survives images that kill it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.embed.attempt import FIRST_ATTEMPT, INFER, JUDGED, LOADED, Attempt, LoadedImage, columns_of, load_each
from pipeline.embed.backbone import Embed, load_backbone
from pipeline.embed.fits import LETTERBOX, Fit
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.embed.miniature import make_miniature
from pipeline.embed.quality import find_flags
from pipeline.embed.reasons import CRASHED_BACKBONE
from pipeline.storage.cpu_timer import CpuTimer

EMBEDDED: Final = pa.schema([pa.field("features", pa.list_(pa.float32())), *LOADED, *JUDGED])
DECODED_IMAGES: Final = 32  # at once: decoder and graph displace each other from the processor's cache


@dataclass(frozen=True)
class Embedding:
    """The work of a child that embeds.

    Attributes:
        graph: path of the backbone's file on this machine.
        size: side of the square input, in pixels.
        batch_size: images per call of the graph.
        limits: limits for one image.
        fit: how it is fitted to the square.
    """

    graph: str
    size: int
    batch_size: int
    limits: Limits = DEFAULT_LIMITS
    fit: Fit = LETTERBOX

    schema = EMBEDDED

    def run(self, contents: Sequence[bytes], attempt: Attempt, cpu_timer: CpuTimer) -> pa.RecordBatch:
        """Embeds images like `embed_images`; opens the graph at the first call."""
        embed = load_backbone(self.graph)
        cpu_timer.lap("start")
        return embed_images(
            contents, embed, self.size, self.batch_size, self.limits.pixels, cpu_timer, attempt, self.fit
        )


def embed_images(
    contents: Sequence[bytes],
    embed: Embed,
    size: int,
    batch_size: int,
    max_pixels: int = DEFAULT_LIMITS.pixels,
    cpu_timer: CpuTimer | None = None,
    attempt: Attempt = FIRST_ATTEMPT,
    fit: Fit = LETTERBOX,
) -> pa.RecordBatch:
    """Decodes some images, embeds them in small batches, and goes on with the next ones.

    Args:
        contents: bytes of the images.
        embed: the graph.
        size: side of its square input, in pixels.
        batch_size: images per call of the graph.
        max_pixels: limit for one image.
        cpu_timer: gets the laps decode, resize and infer.
        attempt: outcome of earlier attempts at the same images.
        fit: how images are fitted to the square.

    Returns:
        The columns of `EMBEDDED`, one row per image.

    Raises:
        Exception: of the graph, if it fails on plain pixels too.
    """
    cpu_timer = cpu_timer or CpuTimer()
    images: list[LoadedImage] = []
    waiting: list[int] = []
    vectors: list[np.ndarray] = []

    def embed_waiting() -> None:
        for start in range(0, len(waiting), batch_size):
            numbers = waiting[start : start + batch_size]
            attempt.on_stage(INFER, numbers)
            vectors.extend(_embed_batch([images[number] for number in numbers], embed, size))
            cpu_timer.lap("infer")
        waiting.clear()

    loaded = load_each(contents, size, max_pixels, fit, attempt, cpu_timer, find_flags, make_miniature)
    for number, image in enumerate(loaded):
        images.append(image)
        if image.error is not None:
            continue
        if number in attempt.alone:
            embed_waiting()
        waiting.append(number)
        if len(waiting) >= max(DECODED_IMAGES, batch_size) or number in attempt.alone:
            embed_waiting()
    embed_waiting()
    features = _as_lists(vectors, np.array([image.error is None for image in images], bool))
    return pa.RecordBatch.from_arrays([features, *columns_of(images, EMBEDDED.names[1:])], schema=EMBEDDED)


def _embed_batch(images: Sequence[LoadedImage], embed: Embed, size: int) -> list[np.ndarray]:
    """Embeds a batch and drops its pixels; an image that the graph fails on gets a reason and no vector."""
    pixels = np.stack([image.pixels for image in images if image.pixels is not None])
    for image in images:
        image.pixels = None
    try:
        return [embed(pixels)]
    except MemoryError:
        raise  # as likely the fault of this process as of an image
    except Exception:  # noqa: BLE001 one of the images may be the reason
        embed(np.zeros((1, size, size, 3), np.uint8))
    vectors = []
    for image, single in zip(images, pixels, strict=True):
        try:
            vectors.append(embed(single[None]))
        except Exception:  # noqa: BLE001 the graph works, just not on this image
            image.error = CRASHED_BACKBONE
            image.width = image.height = image.format = image.quality_flags = image.miniature = None
    return vectors


def _as_lists(vectors: list[np.ndarray], is_readable: np.ndarray) -> pa.ListArray:
    """Converts vectors to a list column, null where an image is not readable, without a Python object per value."""
    values = np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)
    offsets = pa.array(np.append(0, np.cumsum(is_readable)) * values.shape[1], pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(values.ravel()), mask=pa.array(~is_readable))
