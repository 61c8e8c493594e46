"""The shell in which Spark starts: variables of another Spark or Java change nothing, or one sentence says which."""

import locale
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pyspark
import pytest

from resources.spark.environment import prepare_environment
from resources.spark.java import java_home
from resources.spark.java_variables import leave_room
from resources.spark.session import SparkResource
from resources.spark.work_folder import SparkStartError, work_folder

LOCAL, CLUSTER = "local[2]", "spark://host:7077"
OWN = Path(pyspark.__file__).parent
QUICK = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:ArchiveClassesAtExit=/nowhere/x.jsa", "-Xlog:cds=off"]
AOT = "-XX:+IgnoreUnrecognizedVMOptions -XX:AOTCache=/nowhere/y.aot"
TUTORIAL = {
    "SPARK_HOME": "/opt/spark",
    "SPARK_CONF_DIR": "/opt/spark/conf",
    "SPARK_REMOTE": "sc://nowhere",
    "PYSPARK_PYTHON": "/usr/bin/python3",
    "PYSPARK_DRIVER_PYTHON": "jupyter",
    "PYSPARK_DRIVER_PYTHON_OPTS": "notebook",
    "PYSPARK_SUBMIT_ARGS": "--master yarn --packages a:b:1",
}
"""What Spark's tutorials export."""


@pytest.fixture(autouse=True)
def shell() -> Iterator[None]:
    """A shell without variables of Spark and Java; what a test sets is undone."""
    with patch.dict(os.environ):
        for name in list(os.environ):
            if name.startswith(("SPARK_", "PYSPARK_", "JAVA_")):
                del os.environ[name]
        yield


# Variables of another Spark


def test_with_a_local_master_daylights_own_python_and_spark_win() -> None:
    os.environ.update(TUTORIAL, SPARK_LOCAL_DIRS="/scratch")
    prepare_environment(LOCAL)
    ours = {name: value for name, value in os.environ.items() if name.startswith(("SPARK_", "PYSPARK_"))}
    assert ours == {
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_HOME": str(OWN),
        "SPARK_LOCAL_DIRS": "/scratch",
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


def test_with_a_cluster_the_variables_hold_and_a_setting_wins_over_its_variable() -> None:
    given = {"SPARK_HOME": str(OWN), "PYSPARK_PYTHON": "/a/python", "PYSPARK_SUBMIT_ARGS": "--verbose pyspark-shell"}
    os.environ.update(given)
    prepare_environment(CLUSTER)
    assert given.items() <= os.environ.items()
    prepare_environment(CLUSTER, "/b/python")
    assert os.environ["PYSPARK_PYTHON"] == "/b/python"


def make_spark(folder: Path, *jars: str) -> str:
    (folder / "bin").mkdir()
    (folder / "bin" / "spark-submit").touch()
    (folder / "jars").mkdir()
    for jar in jars:
        (folder / "jars" / jar).touch()
    return str(folder)


def test_a_spark_home_that_cannot_be_used_with_a_cluster_is_one_sentence(tmp_path: Path) -> None:
    os.environ["SPARK_HOME"] = "/nowhere"
    with pytest.raises(SparkStartError, match=r"^SPARK_HOME is /nowhere, which has no Spark: unset it, or set it to a"):
        prepare_environment(CLUSTER)
    os.environ["SPARK_HOME"] = make_spark(tmp_path, "spark-core_2.12-3.5.1.jar")
    with pytest.raises(
        SparkStartError, match=r"which has spark-core_2\.12-3\.5\.1, and Daylight needs spark-core_2\.13"
    ):
        prepare_environment(CLUSTER)


def test_submit_arguments_that_start_no_shell_are_one_sentence() -> None:
    os.environ["PYSPARK_SUBMIT_ARGS"] = "--master yarn"
    with pytest.raises(SparkStartError, match="'--master yarn': end it with pyspark-shell, or unset it"):
        prepare_environment(CLUSTER)


def test_another_spark_on_the_path_of_python_is_not_imported(tmp_path: Path) -> None:
    other = tmp_path / "python"
    (other / "pyspark").mkdir(parents=True)
    (other / "pyspark" / "__init__.py").write_text("raise RuntimeError('another Spark')")
    (tmp_path / "own").mkdir()
    code = "import assets.definitions, pyspark, os; print(pyspark.__file__, os.environ['PYTHONPATH'])"
    places = [str(other), str(other / "lib" / "py4j-0.10.9.7-src.zip"), str(tmp_path / "own"), os.getcwd()]
    environment = {**os.environ, "PYTHONPATH": ":".join(places)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.split() == [pyspark.__file__, ":".join(places[2:])], done.stderr


# Variables of Java


@pytest.mark.parametrize("variable", ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"])
def test_another_collector_or_archive_leaves_ours_out(variable: str) -> None:
    java = java_home() / "bin" / "java"
    assert leave_room(java, "1g", QUICK) == QUICK
    for harmless in ("-Dsome.property=1", "-Xmx100m"):
        os.environ[variable] = harmless
        assert leave_room(java, "1g", QUICK) == QUICK
    for other in ("-XX:+UseParallelGC", "-XX:+UseG1GC", "-XX:SharedArchiveFile=/nowhere/y.jsa", AOT):
        os.environ[variable] = other
        assert leave_room(java, "1g", QUICK) == []


@pytest.mark.parametrize(
    ("variable", "options", "reason"),
    [
        ("JAVA_TOOL_OPTIONS", "-XX:+NoSuchThing", "Unrecognized VM option 'NoSuchThing'"),
        ("_JAVA_OPTIONS", "-Xms4g", "Initial heap size set to a larger value than the maximum heap size"),
    ],
)
def test_options_with_which_no_java_starts_are_one_sentence(variable: str, options: str, reason: str) -> None:
    os.environ[variable] = options
    with pytest.raises(SparkStartError) as refused:
        leave_room(java_home() / "bin" / "java", "1g", QUICK)
    expected = f"Java does not start with {variable}={options}: {reason}; correct or unset the variable"
    assert str(refused.value) == expected


def test_options_reach_the_jvm_and_not_the_small_one_that_composes_its_command(tmp_path: Path) -> None:
    real = tmp_path / "jdk" / "bin" / "java"
    real.parent.mkdir(parents=True)
    real.write_text('#!/bin/sh\n[ "$1" = -version ] && echo \'version "21"\' >&2 || echo "$JAVA_TOOL_OPTIONS"\n')
    real.chmod(0o755)
    os.environ.update(JAVA_HOME=str(tmp_path / "jdk"), JAVA_TOOL_OPTIONS="-Xms4g")
    java = java_home() / "bin" / "java"
    for main, seen in (("org.apache.spark.launcher.Main", ""), ("org.apache.spark.deploy.SparkSubmit", "-Xms4g")):
        done = subprocess.run([java, main], env=os.environ, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == seen


def test_a_java_home_without_a_program_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for content in (b"no program", b"\x7fELF\x02\x01"):
        (tmp_path / "bin" / "java").write_bytes(content)
        for mode in (0o644, 0o755):
            (tmp_path / "bin" / "java").chmod(mode)
            os.environ["JAVA_HOME"] = str(tmp_path)
            assert (java_home() / "bin" / "java").exists()


# Folders


def test_programs_of_java_go_where_programs_may_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    colon, noexec = tmp_path / "a:b", tmp_path / "noexec"
    colon.mkdir()
    noexec.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(colon))
    assert work_folder().parent != colon
    monkeypatch.setattr("tempfile.tempdir", str(noexec))
    assert work_folder().parent == noexec
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", str(noexec)], check=False).returncode:
        pytest.skip("mounting needs root")
    try:
        assert work_folder().parent != noexec
    finally:
        subprocess.run(["umount", str(noexec)], check=True)


def test_without_a_place_for_programs_the_sentence_lists_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.spark.work_folder.runs_programs", lambda place: False)
    with pytest.raises(SparkStartError, match=r"^Java cannot be started from /.*, /var/tmp.*; set TMPDIR to a folder"):
        work_folder()


def test_options_keep_a_space_in_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "a b"))
    options = SparkResource(master=LOCAL).settings["spark.driver.extraJavaOptions"]
    assert re.search(rf'"-XX:\w+={re.escape(str(tmp_path))}/a b/daylight-java-[^"]*"', options)


def test_a_local_master_ignores_the_default_file_system_of_hadoop() -> None:
    assert SparkResource(master=LOCAL).settings["spark.hadoop.fs.defaultFS"] == "file:///"
    assert "spark.hadoop.fs.defaultFS" not in SparkResource(master=CLUSTER).settings


# Users and languages

NAMELESS = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]


def test_a_user_without_a_name_is_one_sentence() -> None:
    if subprocess.run([*NAMELESS, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespace may be made here")
    code = "from resources.spark.environment import prepare_environment as prepare; prepare('local[2]')"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd()}
    command = [*NAMELESS, sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith(
        "SparkStartError: the user id 12345 has no name here, and Java does not start Spark without one: add the line"
        " daylight:x:12345:12345::/tmp:/bin/sh to /etc/passwd, or run as a user who has one"
    )


@pytest.mark.parametrize("language", ["C", "POSIX", "xx_XX.UTF-8"])
def test_java_starts_in_a_language_with_all_letters(language: str) -> None:
    code = (
        "import os; from resources.spark.environment import prepare_environment as prepare; prepare('local[2]');"
        "print(os.environ['LC_ALL'])"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), "LC_ALL": language}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("C.UTF-8", "C.utf8", "en_US.UTF-8")


def test_a_language_with_all_letters_stays() -> None:
    before = os.environ.get("LC_ALL"), locale.setlocale(locale.LC_CTYPE)
    prepare_environment(LOCAL)
    assert (os.environ.get("LC_ALL"), locale.setlocale(locale.LC_CTYPE)) == before
