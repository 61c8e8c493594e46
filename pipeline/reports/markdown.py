"""Markdown for the UI, with untrusted text escaped."""

import re
from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Returns a Markdown table; the cells of `rows` may be untrusted text."""
    cells = ([escape_markdown(str(cell)) for cell in row] for row in rows)
    lines = [list(map(str, header)), ["---"] * len(header), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape_markdown(text: str) -> str:
    """Replaces all but letters, digits and harmless punctuation by underscores."""
    safe = "".join(letter if letter.isalnum() or letter in " -.,%·±" else "_" for letter in text)
    return re.sub(r"(?i)www\.", "www_", safe)  # Markdown renders it as a link


def escape_invisible(text: str) -> str:
    """Replaces unprintable characters, such as those that move a terminal's cursor, by escape sequences."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
