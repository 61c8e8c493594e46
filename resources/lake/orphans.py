"""Orphaned files: files that a killed run never committed or a later run replaced.

A running job has written files that no table refers to yet, so only files older than any run are removed.
"""

import re
import shutil
import time
from pathlib import Path
from typing import Final

from resources.lake.commits import open_written
from resources.lake.lake import Lake

ORPHAN_HOURS: Final = 168  # minimum age, as in Delta: readers of an older version may need its files until then
_DRAFT: Final = re.compile(
    r"\..+\.[0-9a-f]{32}"  # as from `model_files.draft_name`
    r"|[0-9a-f]{64}\.\d+\.part"  # of a backbone, by commit 41041cd and earlier ones
)


def remove_orphans(lake: Lake) -> dict[str, int]:
    """Removes orphaned files of all tables, and drafts of models, `ORPHAN_HOURS` after they were written.

    Returns:
        The number of removed files by table, and of drafts under `models`.
    """
    tables = {name: open_written(lake.folder(name)) for name in lake.list_tables()}
    removed = {name: len(delta.vacuum(ORPHAN_HOURS, dry_run=False, full=True)) for name, delta in tables.items()}
    return removed | {"models": _remove_drafts(lake.models.folder)}


def _remove_drafts(folder: Path) -> int:
    """Removes drafts that were never renamed and returns their number."""
    before = time.time() - ORPHAN_HOURS * 3600
    drafts = [path for path in folder.rglob("*") if _DRAFT.fullmatch(path.name) and path.stat().st_mtime < before]
    for draft in drafts:
        if draft.is_dir():
            shutil.rmtree(draft)
        else:
            draft.unlink()
    return len(drafts)
