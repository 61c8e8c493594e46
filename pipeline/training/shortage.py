"""Shortages: why no classifier can be fitted on the labelled images, and what to add, in one sentence.

Spark counts once more, since this happens only when a training has failed.
"""

from collections.abc import Sequence
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.storage.counting import count_by

SHOWN: Final = 3
TWO_LABELS: Final = "filed under two labels"
LEFT_OUT: Final = "near-duplicates of holdout images"


def explain_shortage(features: DataFrame, train: Sequence[str], holdout: Sequence[str]) -> str | None:
    """Explains what is missing for a training; None if nothing is.

    Args:
        features: labelled features with `label`, `split`, `features` and optionally `error`, usable or not.
        train: labels of the usable images of the train split.
        holdout: labels of the usable images of the holdout.
    """
    labels = sorted({*train, *holdout})
    if len(train) > 1 and holdout:
        return None
    if not labels:
        return _explain_nothing(features)
    also = f" ({unusable} cannot be used)" if (unusable := _list_unusable(features)) else ""
    if len(labels) == 1:
        return (
            f"training needs images of at least two labels, but all usable images{also} have the label {labels[0]!r}:"
            " add images of another one"
        )
    if not holdout:
        return (
            f"training needs a holdout, but none of the usable images{also} is in it: add images, ten of each label or"
            " more, of which about a fifth become holdout by their digest; or, where folders or a manifest set the"
            " split, put some into validation"
        )
    there = f"only {train[0]!r}" if train else "none"
    absent = ", ".join(map(repr, [label for label in labels if label not in train][:SHOWN]))
    return (
        f"training needs at least two labels in the train split, but it has {there}; all usable images{also} of"
        f" {absent} are in the holdout: add images of {absent}, about four fifths of which go to the train split by"
        " their digest; or, where folders or a manifest set the split, move some to train"
    )


def _explain_nothing(features: DataFrame) -> str:
    unusable = _list_unusable(features)
    if not unusable:
        return (
            "there is no labelled image: put images into folders named after their labels; sidecar files such as"
            " ._x.jpg do not count"
        )
    return (
        f"none of the labelled images can be used, {unusable}: replace files that cannot be decoded, and keep each"
        " image under one label"
    )


def _list_unusable(features: DataFrame) -> str:
    """Lists the most frequent reasons why labelled images are not used, with counts."""
    error = F.col("error") if "error" in features.columns else F.lit(None).cast("string")
    no_features = F.when(F.col("features").isNull(), F.coalesce(error, F.lit("without features")))
    is_left_out = F.col("split").isNull()
    reason = F.coalesce(no_features, F.when(F.col("label").isNull(), TWO_LABELS).when(is_left_out, LEFT_OUT))
    counts = count_by(features.select(reason.alias("reason")).where(F.col("reason").isNotNull()), "reason")
    return ", ".join(f"{row['count']:,} {row['reason']}" for row in counts[:SHOWN])
