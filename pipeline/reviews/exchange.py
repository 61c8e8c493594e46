"""Exchange with other tools: what a person said there about an image."""

from typing import NamedTuple


class Said(NamedTuple):
    """A label from another tool, as text that is not checked yet: key of the image, label, and who said it if known."""

    key: str
    label: str
    reviewer: str | None
