"""Items of the review page: what a person is asked about one image, and what the page may show of it.

`show_item` is the only way from an item to the page, so an image of the audit is blind everywhere.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.reports.markdown import escape_invisible
from pipeline.reviews.answers import Key

AUDIT: Final = "audit"
NOVEL: Final = "novel"
LABEL_ISSUE: Final = "label issue"
DRIFT: Final = "drift"
SHOWN_LABELS: Final = 5  # likely labels, on the keys 1 to 5
BLIND_LABELS: Final = 9  # labels in fixed order, on the keys 1 to 9 of an image of the audit


@dataclass(frozen=True, slots=True)
class Item:
    """An image to look at.

    Attributes:
        key: the image.
        path: of its file, below the folder of the day or of the labelled images.
        reason: `AUDIT`, a reason of the review queue, `DRIFT` or `LABEL_ISSUE`.
        likely: labels and their probabilities, the most probable first, at most `SHOWN_LABELS`.
        predicted_label: prediction; None for a labelled image.
        classifier: its classifier.
        label: label under which a labelled image is filed; None for others.
        rank: what orders the items of the same reason, the most useful first: the similarity of a novel image, the
            place of an issue or an example, else the confidence.
        note: why a label issue is one, in words.
        other_id: near-duplicate under another label, of a label issue.
        weight: images of the day that it represents in the audit; 0 outside.
    """

    key: Key
    path: str
    reason: str
    likely: Sequence[tuple[str, float]] = ()
    predicted_label: str | None = None
    classifier: str | None = None
    label: str | None = None
    rank: float = 0.0
    note: str = ""
    other_id: str | None = None
    weight: float = 0.0

    @property
    def is_blind(self) -> bool:
        """Whether the page hides everything that the classifier thinks of it."""
        return self.reason == AUDIT

    @property
    def why(self) -> str:
        """Why it is here, in words."""
        if self.reason == DRIFT:
            return "an example of how the day differs from the training set"
        if self.reason == NOVEL:
            return f"unlike all training images (similarity {self.rank:.2f})"
        return self.note or f"{self.reason}: {self.predicted_label} with {self.rank:.0%}"

    @property
    def draw(self) -> bytes:
        """A number for a random order that depends on nothing but the image."""
        return hashlib.sha256(f"review {self.key}".encode()).digest()


def show_item(item: Item, labels: Sequence[str]) -> dict[str, Any]:
    """What the page gets of an item, as JSON.

    Args:
        item: the item.
        labels: all labels, the most frequent first; they take the place of the likely ones of a blind item.
    """
    shown: dict[str, Any] = {
        "key": str(item.key),
        "day": item.key.day and str(item.key.day),
        "path": escape_invisible(item.path),
    }
    shown |= {"reason": item.reason, "is_blind": item.is_blind}
    if item.is_blind:
        return shown | {"choices": [{"label": label} for label in labels[:BLIND_LABELS]]}
    likely = [{"label": label, "probability": round(share, 4)} for label, share in item.likely[:SHOWN_LABELS]]
    return shown | {"choices": likely, "label": item.label, "note": item.why, "other_id": item.other_id}
