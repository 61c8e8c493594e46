"""The package `pipeline` as one archive, for executors that have neither the project nor its environment."""

import hashlib
import zipfile
from pathlib import Path
from typing import Final

import pipeline

_DATE: Final = (1980, 1, 1, 0, 0, 0)  # of every file in the archive: equal code gives an equal archive


def pack_pipeline(folder: Path) -> Path:
    """Writes the package into a folder, as an archive named by its content.

    Spark refuses a second file of the same name, and workers of two versions must not share one.
    """
    package = Path(pipeline.__file__).parent
    sources = {file.relative_to(package.parent).as_posix(): file.read_bytes() for file in package.rglob("*.py")}
    digest = hashlib.sha256()
    for name, source in sorted(sources.items()):
        digest.update(f"{name} {len(source)}\n".encode() + source)
    archive = folder / f"pipeline-{digest.hexdigest()[:16]}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, source in sorted(sources.items()):
            packed.writestr(zipfile.ZipInfo(name, _DATE), source)
    return archive
