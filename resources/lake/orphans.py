"""Leftovers: files that a killed run never committed or a new run replaced, and when they may be removed.

A run that is under way has written files which no table refers to yet: only what is older than any run is removed.
"""

import re
import shutil
import time
from pathlib import Path
from typing import Final
from uuid import uuid4

from deltalake import DeltaTable

LEFTOVER_HOURS: Final = 168
"""Delta's own default, under which it removes nothing that a reader of an older version may still need."""

_DRAFT: Final = re.compile(r"\..+\.[0-9a-f]{32}")


def draft_name(name: str) -> str:
    """A name for what becomes this file or folder when it is whole."""
    return f".{name}.{uuid4().hex}"


def collect_orphans(delta: DeltaTable) -> list[str]:
    """Removes the files of a table that its log does not name, or has let go; gives their paths."""
    return delta.vacuum(LEFTOVER_HOURS, dry_run=False, full=True)


def collect_drafts(folder: Path) -> int:
    """Removes drafts that never got their name, and gives their number."""
    before = time.time() - LEFTOVER_HOURS * 3600
    drafts = [path for path in folder.rglob(".*") if _DRAFT.fullmatch(path.name) and path.stat().st_mtime < before]
    for draft in drafts:
        if draft.is_dir():
            shutil.rmtree(draft)
        else:
            draft.unlink()
    return len(drafts)
