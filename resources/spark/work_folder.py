"""The folder of this user for what a start of Spark leaves here: Java's launchers, archives and temporary files.

Programs in it must be allowed to run, which hardened machines forbid in /tmp.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

JAVA_DEFAULT: Final = Path("/tmp")  # noqa: S108 where Java puts temporary files and native libraries, whatever TMPDIR is


class SparkStartError(RuntimeError):
    """Spark cannot start on this machine as it is set up; the text is one sentence with the cure."""


def work_folder() -> Path:
    """Finds the first place where programs may run, and makes this user's folder in it.

    Raises:
        SparkStartError: if programs may run nowhere.
        PermissionError: if the folder belongs to another user, whose programs would run as this one.
    """
    places = list(dict.fromkeys(_list_places()))
    place = next((place for place in places if runs_programs(place) and ":" not in str(place)), None)
    if place is None:
        tried = ", ".join(map(str, places))
        raise SparkStartError(
            f"Java cannot be started from {tried}: the folders are read-only, mounted noexec or have a colon in their"
            " name; set TMPDIR to a folder in which programs may run"
        )
    folder = place / f"daylight-java-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user: set TMPDIR to another folder")
    return folder


def runs_programs(place: Path) -> bool:
    """Whether this user can store programs in a folder and run them there."""
    return os.access(place, os.W_OK | os.X_OK) and not os.statvfs(place).f_flag & getattr(os, "ST_NOEXEC", 0)


def _list_places() -> Iterator[Path]:
    yield Path(tempfile.gettempdir())
    yield from (JAVA_DEFAULT, Path("/var/tmp"))  # noqa: S108 the folder in it is private
    if home := os.environ.get("HOME"):
        yield Path(os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache")
    yield Path(sys.prefix)
