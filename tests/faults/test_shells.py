"""Shells: what users export for another Spark or Java, folders and languages; a day is green, or one sentence says why.

`tests/resources/test_spark_environment.py` has each variable by itself.
"""

import subprocess
from pathlib import Path

import pytest
from deployment import DAY, Deployment

HDFS = "<configuration><property><name>fs.defaultFS</name><value>hdfs://nowhere.invalid:8020</value></property></configuration>"
JAVA_TRACE = "\tat "


def test_a_day_is_green_whatever_the_shell_exports(trained: Deployment, expected: dict, tmp_path: Path) -> None:
    """Another Spark, a collector, a cluster's file system, and no letters for the folder of the lake."""
    hadoop, scratch = tmp_path / "hadoop", tmp_path / "scratch disk"
    hadoop.mkdir()
    scratch.mkdir()
    (hadoop / "core-site.xml").write_text(HDFS)
    deployment = trained.copy(tmp_path / "Früchte 果物")
    run = deployment.run(
        "daily",
        DAY,
        HADOOP_CONF_DIR=str(hadoop),
        JAVA_HOME="/nowhere",
        JAVA_TOOL_OPTIONS="-XX:+UseParallelGC -Xms300m",
        LC_ALL="C",
        PYSPARK_DRIVER_PYTHON="jupyter",
        PYSPARK_PYTHON="/usr/bin/python3",
        PYSPARK_SUBMIT_ARGS="--master yarn",
        SPARK_CONF_DIR="/nowhere/conf",
        SPARK_HOME="/opt/spark",
        TMPDIR=str(scratch),
    )
    assert run.is_good, run.text
    assert JAVA_TRACE not in run.text
    assert deployment.all_rows(DAY) == expected[DAY]


def test_a_day_is_green_where_no_program_may_run_in_tmp(deployment: Deployment, expected: dict, tmp_path: Path) -> None:
    """In a mount namespace of its own; the launcher of Java and its native libraries need a place."""
    prepare = 'mount --bind /tmp /tmp && mount -o remount,bind,noexec /tmp && exec "$@"'
    environment = deployment.environment | {"LC_ALL": "xx_XX.UTF-8", "TMPDIR": "/tmp"}
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", prepare, "bash", *deployment.command("daily", DAY)],
        cwd=deployment.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert JAVA_TRACE not in done.stderr
    assert deployment.all_rows(DAY) == expected[DAY]


@pytest.mark.parametrize(
    ("prefix", "environment", "sentence"),
    [
        (
            ["unshare", "--user", "--map-user=12345", "--map-group=12345", "env", "-u", "HOME"],
            {},
            "SparkStartError: the user id 12345 has no name here, and Java does not start Spark without one: add the",
        ),
        ([], {"_JAVA_OPTIONS": "-XX:+NoSuch"}, "SparkStartError: Java does not start with _JAVA_OPTIONS=-XX:+NoSuch:"),
    ],
)
def test_a_day_that_cannot_start_is_one_sentence(
    prefix: list[str], environment: dict[str, str], sentence: str, deployment: Deployment
) -> None:
    done = subprocess.run(
        [*prefix, *deployment.command("daily", DAY)],
        cwd=deployment.root,
        env=deployment.environment | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert sentence in done.stdout
    assert JAVA_TRACE not in done.stdout + done.stderr
