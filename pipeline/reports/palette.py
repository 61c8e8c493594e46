"""Colours shared by contact sheets, figures and the daily report."""

from typing import Final

TEXT: Final = "#0f172a"
INK: Final = "#334155"  # labels and captions
MUTED: Final = "#64748b"
FAINT: Final = "#cbd5e1"
PALE: Final = "#e2e8f0"
GOOD: Final = "#15803d"
DOUBTFUL: Final = "#b45309"
BAD: Final = "#b91c1c"
BAR: Final = "#4d7c5f"
SERIES: Final = (GOOD, "#2563eb", DOUBTFUL, "#7c3aed", "#0891b2", "#be185d", "#65a30d", "#475569")  # frequent first
