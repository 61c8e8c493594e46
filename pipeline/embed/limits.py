"""Limits: what one file from a stranger may take before it is rejected."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Limits:
    """What one picture may take.

    Attributes:
        bytes: of the file as it was listed; a larger one is not read.
        pixels: as its header says; of more, none is decoded. The default is a quarter of a GiB of RGB.
        seconds: of decoding it, and of embedding those that are embedded at once, by the clock.
        memory_bytes: of the child that does it, beyond what it has when it is forked.
    """

    bytes: int = 2**27
    pixels: int = 89_478_485
    seconds: float = 30.0
    memory_bytes: int = 2**30


DEFAULT_LIMITS: Final = Limits()
