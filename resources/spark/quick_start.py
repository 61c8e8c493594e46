"""Java's options for a quick start: compiler, collector, and a cache of the classes that an earlier JVM loaded.

From Java 25 on, the first JVM records what it loads, and the launcher makes a cache of it (JEP 514) when that JVM has
ended. Before, it dumps an archive of its classes when it ends (AppCDS). Java ignores a cache made from other jars or
by another build, so its name contains the state of the jars, and the name of its home that of Java.
"""

import hashlib
import os
import time
from pathlib import Path
from typing import Final

import pyspark

from resources.spark.java import java_version, run_java

CODE_CACHE: Final = "240m"
"""Size of the code cache. With the C1 compiler alone Java reserves 48 MB, which Spark's generated code fills in a
quarter of an hour of small queries; after that no method can be called."""
AOT_VERSION: Final = 25
DUMP_SECONDS: Final = 60  # age at which an archive of classes counts as complete
DRAFT_SECONDS: Final = 3_600  # age at which a recording counts as left behind by a process that was killed
UNUSED_SECONDS: Final = 30 * 86_400  # age at which a cache of 200 MB is deleted: its environment is gone
AT_ITS_ADDRESS: Final = ("-XX:+UnlockDiagnosticVMOptions", "-XX:ArchiveRelocationMode=0")
"""Maps the cache at the address it was made for; by default Java 25 moves all its pointers, in 0.12 s."""
WITHOUT_NOTE: Final = ("-XX:+UnlockDiagnosticVMOptions", "-XX:-DisplayVMOutput")
"""Keeps a JVM from printing where it records, and also from explaining why it cannot start (`leave_room` asks)."""


def quick_start_options(home: Path) -> list[str]:
    """Makes options for short-lived JVMs from a Java home of ours."""
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-XX:ReservedCodeCacheSize={CODE_CACHE}"]
    jars = Path(pyspark.__file__).parent / "jars"
    place, state = (hashlib.sha256(str(part).encode()).hexdigest()[:16] for part in (jars, jars.stat().st_mtime_ns))
    stem = f"classes-{place}-{state}"
    for file in set(home.parent.glob("*/classes-*")) - set(home.glob(f"{stem}.*")):  # of earlier launchers too
        is_former = file.parent == home and file.name.startswith(f"classes-{place}-")
        if is_former or _age_of(file) > UNUSED_SECONDS:
            file.unlink(missing_ok=True)
    if java_version(home / "bin" / "java") >= AOT_VERSION:
        return [*quick, *_use_or_record(home / f"{stem}.aot")]
    base = _base_archive(home)
    return quick if base is None else [*quick, *_use_or_dump(home / f"{stem}.jsa", base)]


def _use_or_record(cache: Path) -> list[str]:
    for left in cache.parent.glob(f"{cache.stem}.*.recorded*"):
        if _age_of(left) > DRAFT_SECONDS:
            left.unlink(missing_ok=True)
    quiet = ["-Xlog:aot*=off", "-Xlog:cds*=off"]
    if not Path("/proc/self/exe").exists():
        return quiet  # the launcher could not see when the JVM has ended
    if not cache.exists():
        return [f"-XX:AOTConfiguration={cache.with_suffix(f'.{os.getpid()}.recorded')}", *WITHOUT_NOTE, *quiet]
    cache.touch()  # it is in use
    return [f"-XX:AOTCache={cache}", *AT_ITS_ADDRESS, *quiet]


def _use_or_dump(archive: Path, base: list[Path]) -> list[str]:
    for draft in archive.parent.glob(f"{archive.stem}.*.jsa"):
        if _age_of(draft) > DUMP_SECONDS:
            draft.replace(archive)
    if archive.exists():
        archive.touch()  # it is in use
    draft = archive.with_suffix(f".{os.getpid()}.jsa")
    shared = [*base, *([archive] if archive.exists() else [])]
    return [
        *([f"-XX:SharedArchiveFile={':'.join(map(str, shared))}"] if shared else []),
        *([] if archive.exists() else [f"-XX:ArchiveClassesAtExit={draft}"]),
        *["-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"],
    ]


def _age_of(file: Path) -> float:
    """Seconds since a file was written or touched; 0 if another process has just removed it."""
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _base_archive(home: Path) -> list[Path] | None:
    """Returns the archive of Java's own classes: empty if Java ships one, None if it cannot."""
    java, shipped, base = home / "bin" / "java", home / "ships-an-archive", home / "base.jsa"
    if base.exists():
        return [base]
    if shipped.exists():
        return []
    if "sharing" in run_java(java, "-Xshare:auto", "-version").rpartition("\n")[2]:
        shipped.touch()
        return []
    draft = base.with_suffix(f".{os.getpid()}.jsa")
    run_java(java, "-XX:+UseSerialGC", "-Xshare:dump", f"-XX:SharedArchiveFile={draft}")
    if not draft.exists():
        return None
    draft.replace(base)
    return [base]
