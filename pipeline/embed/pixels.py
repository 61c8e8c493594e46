"""Pixels: decoded in the sandbox for everything but embedding: thumbnails, near-duplicates, calibration.

Nothing else in Daylight decodes bytes that users handed in.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.embed.attempt import LOADED, Attempt, columns_of, load_each
from pipeline.embed.contents import read_contents
from pipeline.embed.fits import LETTERBOX, Fit
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.embed.sandbox import open_sandbox
from pipeline.storage.cpu_timer import CpuTimer

DECODED: Final = pa.schema([pa.field("pixels", pa.binary()), *LOADED])
PIXELS_SCHEMA: Final = "image_id string, pixels binary, width int, height int"
REQUEST_BYTES: Final = 2**26  # of the images that are sent to the child at once


@dataclass(frozen=True)
class Decoding:
    """The work of a child that decodes.

    Attributes:
        size: side of the square that each image is fitted to, in pixels.
        limits: limits for one image.
        fit: how it is fitted.
    """

    size: int
    limits: Limits = DEFAULT_LIMITS
    fit: Fit = LETTERBOX

    schema = DECODED

    def run(self, contents: Sequence[bytes], attempt: Attempt, cpu_timer: CpuTimer) -> pa.RecordBatch:
        """Decodes images; returns the columns of `DECODED`, the pixels row by row in RGB."""
        images = list(load_each(contents, self.size, self.limits.pixels, self.fit, attempt, cpu_timer))
        pixels = [None if image.pixels is None else image.pixels.tobytes() for image in images]
        return pa.RecordBatch.from_arrays([pa.array(pixels, pa.binary()), *columns_of(images)], schema=DECODED)


def decode_pixels(contents: Sequence[bytes], decoding: Decoding) -> list[np.ndarray | None]:
    """Decodes images in the sandbox of this process.

    Returns:
        For each image uint8 RGB `[size, size, 3]`; None where it cannot be decoded.
    """
    decoded = pa.Table.from_batches(_decode(pa.array(contents, pa.binary()), decoding), DECODED)
    return [None if each is None else as_pixels(each, decoding.size) for each in decoded["pixels"].to_pylist()]


def as_pixels(data: bytes, size: int) -> np.ndarray:
    """The pixels `[size, size, 3]` of a value of the column `pixels`."""
    return np.frombuffer(data, np.uint8).reshape(size, size, 3)


def decode_batches(decoding: Decoding) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for `mapInArrow` from `contents.COLUMNS` to `PIXELS_SCHEMA`, without images that fail."""

    def decode(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for read in chain.from_iterable(map(read_contents, batches)):
            start = 0
            for decoded in _decode(read.bytes, decoding):
                ids = read.rows["image_id"].slice(start, decoded.num_rows)
                start += decoded.num_rows
                columns = [ids, *(decoded[name] for name in ("pixels", "width", "height"))]
                rows = pa.RecordBatch.from_arrays(columns, ["image_id", "pixels", "width", "height"])
                yield rows.filter(decoded["pixels"].is_valid())

    return decode


def _decode(contents: pa.Array, decoding: Decoding) -> Iterator[pa.RecordBatch]:
    """Sends images to the child in requests of about `REQUEST_BYTES`."""
    sandbox, start, size = open_sandbox(decoding), 0, 0
    for number, content in enumerate(contents):
        size += len(content.as_buffer() or b"")
        if size >= REQUEST_BYTES or number == len(contents) - 1:
            yield sandbox.run(contents.slice(start, number + 1 - start), CpuTimer())
            start, size = number + 1, 0
