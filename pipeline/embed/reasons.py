"""Reasons: every text of `error` and `read_error`, and the exception. Tables store the texts, so they never change."""

from typing import Final

EMPTY: Final = "empty"
NOT_AN_IMAGE: Final = "not an image"
UNSUPPORTED: Final = "unsupported format"
HEIC_NOT_INSTALLED: Final = "unsupported format: HEIC, which needs the extra heic"
TRUNCATED: Final = "truncated"
DAMAGED: Final = "damaged"
NOTHING_VISIBLE: Final = "nothing visible"  # all transparent, or white on transparent
TOO_MANY_PIXELS: Final = "too many pixels"
CRASHED: Final = "crashed the decoder"
CRASHED_BACKBONE: Final = "crashed the backbone"
TIMED_OUT: Final = "timed out"
OUT_OF_MEMORY: Final = "out of memory"

# Of a file rather than of its bytes.
VANISHED: Final = "vanished"
TOO_MANY_BYTES: Final = "too many bytes"
UNREADABLE: Final = "unreadable"
CHANGED: Final = "changed"  # after it was listed: it was still arriving, or was replaced
PURGED: Final = "purged"

LASTING_REASONS: Final = (
    *(EMPTY, NOT_AN_IMAGE, UNSUPPORTED, TRUNCATED, DAMAGED, NOTHING_VISIBLE),
    *(CRASHED, CRASHED_BACKBONE),
)
"""Reasons caused by the bytes. Any other, such as a time limit, may be the worker's fault: the image is tried again."""


class UnreadableImageError(ValueError):
    """An image that cannot be decoded; `shape` is width and height in pixels if they are the reason."""

    def __init__(self, reason: str, shape: tuple[int, int] | tuple[None, None] = (None, None)) -> None:
        """Stores the reason."""
        super().__init__(reason)
        self.shape = shape
