"""Label sets: the labels that hold for one image, as one text such as `dark;long sleeves`.

Tables, forms and answers hold the text of a set where others hold a label. Its labels are sorted, so equal sets are
equal texts.
"""

import math
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Final

from pipeline.images.places import LabelError, clean_label

SEPARATOR: Final = ";"
EMPTY: Final = "(no label)"
"""The text of the set without labels."""
DENIAL: Final = "(not) "
FLIPPED: Final = 5  # doubtful labels, which the most probable sets differ in
_RESERVED: Final = {"/": "separates the names of a path", "*": "is the key of other labels"}


def parse_set(text: str) -> str:
    """Writes a set that a person typed as its text; labels are separated by semicolons, none is the empty set.

    Raises:
        LabelError: if a label cannot be one of a set; the message begins with the label.
    """
    if clean_label(text) == EMPTY:
        return EMPTY
    labels = {label for each in text.split(SEPARATOR) if (label := clean_label(each))}
    for label in sorted(labels):
        if label.startswith("("):
            raise LabelError(f"{label!r} begins with a parenthesis, as answers that are no labels do: rename the label")
        if found := [sign for sign in _RESERVED if sign in label]:
            raise LabelError(f"{label!r} contains {found[0]!r}, which {_RESERVED[found[0]]}: rename the label")
    return write_set(labels)


def write_set(labels: Iterable[str]) -> str:
    """Writes the text of a set of labels that are clean."""
    return SEPARATOR.join(sorted(labels)) or EMPTY


def list_members(text: str) -> list[str]:
    """Lists the labels of the text of a set."""
    return [] if text == EMPTY else text.split(SEPARATOR)


def list_labels(texts: Iterable[str]) -> list[str]:
    """Lists the labels of all these sets, sorted."""
    return sorted({label for text in set(texts) for label in list_members(text)})


def rank_sets(probabilities: Mapping[str, float], count: int) -> list[tuple[str, float]]:
    """Ranks the most probable sets, as if their labels were independent; each is one of 32 at most.

    Args:
        probabilities: probability that each label holds.
        count: sets to return, at most 6.
    """
    doubtful = sorted(probabilities, key=lambda label: abs(probabilities[label] - 0.5))[:FLIPPED]
    likely = {label for label, share in probabilities.items() if share >= 0.5}
    found = []
    for size in range(len(doubtful) + 1):
        for flipped in combinations(doubtful, size):
            members = likely.symmetric_difference(flipped)
            share = math.prod(own if label in members else 1 - own for label, own in probabilities.items())
            found.append((write_set(members), share))
    return sorted(found, key=lambda each: (-each[1], each[0]))[:count]


def deny(label: str) -> str:
    """Writes the answer that a label does not hold; the answer that it holds is the label."""
    return f"{DENIAL}{label}"
