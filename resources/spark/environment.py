"""The variables in which Spark's processes start, put in order before there is a JVM.

Shells carry variables of other Sparks. With a local master they go, because driver and workers are Daylight's own; with
a cluster they hold, and one that cannot work is refused in one sentence.
"""

import importlib.util
import locale
import os
import pwd
import shlex
import sys
from pathlib import Path
from typing import Final

from resources.spark.work_folder import SparkStartError

KEPT: Final = ("SPARK_LOCAL_DIRS", "SPARK_LOCAL_HOSTNAME", "SPARK_LOCAL_IP", "SPARK_PUBLIC_DNS", "SPARK_USER")
"""Variables about this machine, not about another Spark."""
UTF8_LOCALES: Final = ("C.UTF-8", "C.utf8", "en_US.UTF-8")


def prepare_environment(master: str, python: str | None = None) -> None:
    """Sets the variables that Spark reads when its JVM starts.

    Args:
        master: a local one or that of a cluster.
        python: program of a cluster's executors, as spark.pyspark.python gives it; wins over the variable.

    Raises:
        SparkStartError: if this user or a variable keeps Spark from starting.
    """
    _check_user()
    _choose_locale()
    if master.startswith("local"):
        for name in [name for name in os.environ if name.startswith(("SPARK_", "PYSPARK_")) and name not in KEPT]:
            del os.environ[name]
        os.environ["SPARK_HOME"] = str(_own_spark())
        os.environ["PYSPARK_PYTHON"] = sys.executable  # else workers run the first python3 on the PATH
    else:
        if python:
            os.environ["PYSPARK_PYTHON"] = python  # Spark reads the setting only where it starts Python itself
        _check_spark_home()
        _check_submit_arguments()
    if master.startswith("local") or "127.0.0.1" in master:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # else Spark listens on every interface


def _own_spark() -> Path:
    spec = importlib.util.find_spec("pyspark")
    return Path(str(spec and spec.origin)).parent


def _check_user() -> None:
    """Hadoop asks the system for the name of the user, and no variable can answer instead."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        user, group = os.getuid(), os.getgid()
        raise SparkStartError(
            f"the user id {user} has no name here, and Java does not start Spark without one: add the line"
            f" daylight:x:{user}:{group}::/tmp:/bin/sh to /etc/passwd, or run as a user who has one"
        ) from None


def _choose_locale() -> None:
    """Lets Java write the file names that Python writes, in a locale that would give it fewer letters."""
    if sys.getfilesystemencoding() != "utf-8" or locale.getencoding().lower() in ("utf-8", "utf8"):
        return
    former = locale.setlocale(locale.LC_CTYPE)
    for name in UTF8_LOCALES:
        try:
            locale.setlocale(locale.LC_CTYPE, name)
        except locale.Error:
            continue
        locale.setlocale(locale.LC_CTYPE, former)
        os.environ["LC_ALL"] = name
        return


def _check_spark_home() -> None:
    home = os.environ.get("SPARK_HOME")
    if not home:
        return
    own = next(iter(_own_spark().glob("jars/spark-core_*.jar"))).name
    if not Path(home, "bin", "spark-submit").is_file():
        raise SparkStartError(f"SPARK_HOME is {home}, which has no Spark: unset it, or set it to a folder of Spark's")
    if not Path(home, "jars", own).is_file():
        found = ", ".join(sorted(file.stem for file in Path(home).glob("jars/spark-core_*.jar"))) or "no spark-core"
        raise SparkStartError(
            f"SPARK_HOME is {home}, which has {found}, and Daylight needs {Path(own).stem}: unset it, or set it to that"
            " version's folder"
        )


def _check_submit_arguments() -> None:
    arguments = os.environ.get("PYSPARK_SUBMIT_ARGS")
    if arguments and "pyspark-shell" not in shlex.split(arguments):
        raise SparkStartError(
            f"PYSPARK_SUBMIT_ARGS is {arguments!r:.200}: end it with pyspark-shell, or unset it and use spark.yaml"
        )
