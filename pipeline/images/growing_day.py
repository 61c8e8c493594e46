"""A growing day: which of its files and images have no row yet, so that a day that goes on is extended, not rewritten.

The functions return None where stored rows no longer hold, and the whole day must be stored again.
"""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.embed.file_kinds import DECODER
from pipeline.embed.reasons import LASTING_REASONS, TOO_MANY_BYTES
from pipeline.images.late_files import facts_of
from pipeline.images.sidecar_files import SIDECAR

STORED_FEATURES: Final = ("image_id", "backbone", "decoder", "error")
_LASTING_READ_ERRORS: Final = (SIDECAR, TOO_MANY_BYTES)


def select_new_files(listed: pa.Table, stored: pa.Table) -> pa.Table | None:
    """Selects the listed files without a row; None if a stored file has changed, is gone, or is worth reading again.

    Args:
        listed: files of the day, with the columns `late_files.FACTS`.
        stored: rows of `images` of the day, with the columns `late_files.STORED`.
    """
    if facts_of(stored) - facts_of(listed) or _has_other_errors(stored["read_error"], _LASTING_READ_ERRORS):
        return None
    return listed.filter(pc.invert(pc.is_in(listed["path"], stored["path"])))


def select_new_images(ids: pa.ChunkedArray, stored: pa.Table, backbone: str) -> list[str] | None:
    """Selects the images without features; None if stored ones are of another backbone or decoder, or worth a retry.

    Args:
        ids: `image_id` of the rows of `images` of the day, null for unreadable files.
        stored: rows of `image_features` of the day, with the columns `STORED_FEATURES`.
        backbone: digest of the graph.
    """
    is_current = pc.and_(pc.equal(stored["backbone"], backbone), pc.equal(stored["decoder"], DECODER))
    if not pc.all(pc.fill_null(is_current, False), min_count=0).as_py() or _has_other_errors(
        stored["error"], LASTING_REASONS
    ):
        return None
    known, wanted = set(stored["image_id"].to_pylist()), set(ids.drop_null().to_pylist())
    return sorted(wanted - known) if known <= wanted else None


def _has_other_errors(errors: pa.ChunkedArray, lasting: tuple[str, ...]) -> bool:
    return bool(set(errors.drop_null().to_pylist()) - set(lasting))
