"""Names of further classifiers: which text can be a prefix of assets, a folder of the lake and a part of job names."""

import re
from typing import Final

from resources.shares import SHARED

TAKEN: Final = SHARED | {
    *("reviews", "training_images", "training_features", "near_duplicates", "compared_pairs", "training_split"),
    *("classifier_candidate", "classifier", "label_issues", "difficulty", "predictions", "drift", "review_queue"),
    *("review_form", "daily_report", "training_twins"),  # tables and assets
    *("models", "reports", "overviews", "review_forms", "review_answers", "verdicts", "withdrawn", "graph_parity"),
    *("bake_off", "training", "daily", "days", "static", "api", "login"),  # groups, folders of landing zone and page
}
"""Names of the deployment's own tables, folders, records and groups."""


def check_name(name: str) -> str:
    """Returns the name.

    Raises:
        ValueError: if it cannot be a prefix.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise ValueError(f"{name!r:.60} is no name: write lower-case letters, digits and single _, such as damage")
    if name in TAKEN:
        raise ValueError(f"{name} is a name that the deployment uses itself: choose another, such as {name}_kind")
    return name
