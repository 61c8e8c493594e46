"""Attempts: decodes the images of a request one by one, each in its own `try`, and remembers those that killed a child.

Whatever bytes do, they cost their own image alone.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.embed.decode import load
from pipeline.embed.fits import Fit
from pipeline.embed.reasons import CRASHED, UnreadableImageError
from pipeline.storage.cpu_timer import CpuTimer

DECODE: Final = "decode"
INFER: Final = "infer"

LOADED: Final = pa.schema({"width": pa.int32(), "height": pa.int32()} | dict.fromkeys(("format", "error"), pa.string()))
"""Columns of an image in every response: size and format of the original, or the reason why it was not decoded."""

JUDGED: Final = pa.schema({"quality_flags": pa.list_(pa.string()), "miniature": pa.binary()})
"""Columns of an image with features, from its decoded pixels."""

FindFlags = Callable[[np.ndarray, int, int], list[str]]
"""Finds what is wrong with decoded pixels of an original of a width and a height."""

Shrink = Callable[[np.ndarray], bytes | None]
"""Makes a miniature of decoded pixels."""


@dataclass(frozen=True)
class Attempt:
    """An attempt at a request, after earlier attempts that killed the process.

    Attributes:
        on_stage: called at the start of `DECODE` or `INFER`, with the stage and the numbers of the images.
        reasons: why images are not decoded, by their numbers; these are skipped.
        alone: numbers of images to embed one at a time, since one of them killed the process.
    """

    on_stage: Callable[[str, Sequence[int]], None] = lambda stage, numbers: None
    reasons: Mapping[int, str] = field(default_factory=dict)
    alone: Collection[int] = frozenset()


FIRST_ATTEMPT: Final = Attempt()


@dataclass
class LoadedImage:
    """An image of a request: its pixels, fitted to the square, or the reason why there are none."""

    pixels: np.ndarray | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    error: str | None = None
    quality_flags: list[str] | None = None
    miniature: bytes | None = None


def load_each(
    contents: Sequence[bytes],
    size: int,
    max_pixels: int,
    fit: Fit,
    attempt: Attempt,
    cpu_timer: CpuTimer,
    find_flags: FindFlags = lambda pixels, width, height: [],
    shrink: Shrink = lambda pixels: None,
) -> Iterator[LoadedImage]:
    """Decodes images one by one and fits each to a square.

    Args:
        contents: bytes of the images.
        size: side of the square, in pixels.
        max_pixels: limit for one image.
        fit: how they are fitted to the square.
        attempt: outcome of earlier attempts at the same images.
        cpu_timer: gets the laps decode and resize.
        find_flags: finds what is wrong with a decoded image.
        shrink: makes its miniature.

    Raises:
        Exception: of `fit`, `find_flags` or `shrink`, if it fails on plain pixels too: a bug is no fault of an image.
    """
    for number, content in enumerate(contents):
        attempt.on_stage(DECODE, [number])
        try:
            if reason := attempt.reasons.get(number):
                raise UnreadableImageError(reason)
            loaded = load(content, size, max_pixels, fit)
            flags, miniature = find_flags(loaded.pixels, loaded.width, loaded.height), shrink(loaded.pixels)
            cpu_timer.lap("decode")
            pixels = fit.place(loaded.pixels, size)
            image = LoadedImage(pixels, loaded.width, loaded.height, loaded.format, None, flags, miniature)
            cpu_timer.lap("resize")
        except UnreadableImageError as error:
            width, height = error.shape
            image = LoadedImage(None, width, height, error=str(error))
            cpu_timer.lap("decode")
        except MemoryError:
            raise  # as likely the fault of this process as of the image
        except Exception:  # noqa: BLE001 an unexpected error on untrusted bytes costs this image alone
            plain = np.zeros((size, size, 4), np.uint8)
            fit.place(plain, size)
            find_flags(plain, size, size)
            shrink(plain)
            image = LoadedImage(error=CRASHED)
            cpu_timer.lap("decode")
        yield image


def columns_of(images: Sequence[LoadedImage], names: Sequence[str] = tuple(LOADED.names)) -> list[pa.Array]:
    """The columns of `LOADED`, or those of these names among them and `JUDGED`."""
    types = {field.name: field.type for field in [*LOADED, *JUDGED]}
    return [pa.array([getattr(image, name) for image in images], types[name]) for name in names]
