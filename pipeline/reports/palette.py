"""Colours shared by contact sheets, figures and the daily report."""

from typing import Final

INK: Final = "#334155"
MUTED: Final = "#64748b"
FAINT: Final = "#cbd5e1"
PALE: Final = "#e2e8f0"
GOOD: Final = "#15803d"
DOUBTFUL: Final = "#b45309"
BAD: Final = "#b91c1c"
SERIES: Final = (GOOD, "#2563eb", DOUBTFUL, "#7c3aed", "#0891b2", "#be185d", "#65a30d", "#475569")
"""Categories, the most frequent first."""
