"""Shortages of sets: labels about which nothing can be learned, in one sentence."""

from collections import Counter
from typing import Final

from pyspark.sql import DataFrame

from pipeline.images.label_sets import list_labels, list_members
from pipeline.images.split import TRAIN
from pipeline.storage.counting import count_by

MIN_ANSWERS: Final = 10  # images of the train split with each answer to a question
MAX_LABELS: Final = 100  # each is a regression of its own


def explain_set_shortage(labelled: DataFrame) -> str | None:
    """Explains which label has too few images that it holds for, or does not hold for; None if there is none."""
    counts, texts, total = Counter[str](), [], 0
    for row in count_by(labelled, "label", "split"):
        texts.append(row["label"])
        if row["split"] == TRAIN:
            total += row["count"]
            counts.update(dict.fromkeys(list_members(row["label"]), row["count"]))
    labels = list_labels(texts)
    if not labels:
        return "no label holds for any usable image: list the labels of each image in the column labels of the manifest"
    if len(labels) > MAX_LABELS:
        return f"the sets have {len(labels)} labels, but multi_label learns {MAX_LABELS} at most: delete some"
    rare = next((label for label in labels if min(counts[label], total - counts[label]) < MIN_ANSWERS), None)
    if rare is None:
        return None
    return (
        f"{rare!r} holds for {counts[rare]:,} of the {total:,} usable images of the train split, but it takes"
        f" {MIN_ANSWERS} images that it holds for, and as many that it does not hold for: add such images, or delete it"
        " from the manifest"
    )
