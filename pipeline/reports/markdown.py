"""Markdown for the UI: tables in which untrusted text stays text."""

import re
from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, in which no text of a stranger becomes Markdown."""
    lines = [list(map(str, header)), ["---"] * len(header), *([plain(str(cell)) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str) -> str:
    """Text from a folder or a file name, with everything but letters, digits and a few signs made harmless."""
    harmless = "".join(letter if letter.isalnum() or letter in " -.,%·±" else "_" for letter in text)
    return re.sub(r"(?i)www\.", "www_", harmless)  # Markdown would make a link of it


def harmless(text: str) -> str:
    """Text in which every sign that does not show, such as one that moves a cursor, stands as an escape."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
