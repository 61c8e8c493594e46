"""Refusals: a file system that takes no more files, explained in one sentence with the cure."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from deltalake.exceptions import DeltaError
from pyspark.errors import PythonException

from resources.lake.commits import LakeError

CURES: Final = {
    "No space left on device": "free space there",
    "Disk quota exceeded": "free space there, or raise the quota",
    "Read-only file system": "mount it writable again (disks with errors turn read-only by themselves)",
}
"""By the system's own words, which delta-rs, Python and Spark's workers repeat."""


@contextmanager
def explain_refusals(folder: str) -> Iterator[None]:
    """Raises a LakeError if what is written into this folder fails because of its file system."""
    try:
        yield
    except (OSError, DeltaError, PythonException) as error:
        text = str(error)
        refusal = next((each for each in CURES if each in text), None)
        if refusal is None:
            raise
        raise LakeError(f"{folder} cannot be written: {refusal}; {CURES[refusal]}") from error
