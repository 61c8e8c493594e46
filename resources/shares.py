"""What all questions share: names of assets and tables that exist once, and where the tables of a question lie."""

from typing import Final

SHARED: Final = frozenset(
    {
        *("images", "image_features", "feature_cache", "backbone", "precision_measurement"),
        *("contenders", "daily_overview"),
    }
)
"""Assets and tables that exist once, whatever is asked."""


def folder_of(table: str, lake: str, prefix: str) -> str:
    """The folder or URI of a table of the question with this prefix, or of one that all questions share."""
    return f"{lake}/{prefix}/{table}" if prefix and table not in SHARED else f"{lake}/{table}"
