"""Limits: how much one untrusted file may cost before it is rejected."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Limits:
    """Limits for one image.

    Attributes:
        bytes: maximum size of the file when it was listed; a larger one is not read.
        pixels: maximum number of pixels in the header; a larger image is not decoded. The default is 0.25 GiB of RGB.
        seconds: maximum wall-clock time to decode it, and to embed the batch that contains it.
        memory_bytes: maximum memory of the child process, beyond its memory when it is forked.
    """

    bytes: int = 2**27
    pixels: int = 89_478_485
    seconds: float = 30.0
    memory_bytes: int = 2**30


DEFAULT_LIMITS: Final = Limits()
