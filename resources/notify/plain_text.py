"""Plain text for messages: no secret, no control character, no markup, and not too long."""

import os
import re
from typing import Final

MAX_CHARACTERS: Final = 500
TELLING: Final = r"key|token|secret|passw(?:or)?d|pwd|signature|sig|credentials?|authorization|connection_?string"
ASSIGNMENT: Final = re.compile(
    rf"(\b(?:(?i:[\w-]*[_-]|)(?i:{TELLING})|\w*(?:Key|Token|Secret|Password|Signature))\b[\"']?\s*[=:]\s*)"
    r"(?i:bearer\s+|basic\s+)?[^\s,;&]+"
)
URL: Final = re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.-]*://)(?:[^\s/@]*@)?([^\s/?#]*)([^\s?#]*)\S*")
MIN_SECRET: Final = 6  # characters; a shorter value is a word
BRACKETS: Final = str.maketrans("<>", "‹›")
LOOKED_AT: Final = 20_000  # characters


def clean(text: str, limit: int = MAX_CHARACTERS) -> str:
    """Makes one line of printable text of at most this many characters, without markup and without secrets.

    Values of variables whose names speak of secrets are hidden, as are values assigned to such a name, and of a URL
    the user, the query and, over HTTP, the path.
    """
    text = text[:LOOKED_AT]
    for secret in _known_secrets():
        text = text.replace(secret, "***")
    text = ASSIGNMENT.sub(r"\1***", URL.sub(_hide, text))
    printable = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(printable.split()).translate(BRACKETS)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _hide(found: re.Match[str]) -> str:
    scheme, host, path = found.groups()
    is_web = scheme.lower() in ("http://", "https://")
    return f"{scheme}{host}{'/…' if is_web and len(path) > 1 else '' if is_web else path}"


def _known_secrets() -> list[str]:
    named = re.compile(rf"(?i){TELLING}|DAYLIGHT_NOTIFY")
    values = {value for name, value in os.environ.items() if named.search(name) and len(value) >= MIN_SECRET}
    return sorted(values, key=len, reverse=True)
