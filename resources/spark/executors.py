"""The executors of a cluster or of a Connect server: whether their Python can run Daylight, tried before any work."""

import os
import re
import sys
from collections.abc import Iterator
from typing import Any, Final

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from resources.spark.work_folder import SparkStartError

PACKAGES: Final = {
    "cv2": "opencv-python-headless",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "pandas": "pandas",
    "PIL": "pillow",
    "pyarrow": "pyarrow",
    "simplejpeg": "simplejpeg",
}
"""What executors need, by the module that shows it; docs/operations.md lists the same."""
LEVEL: Final = "ERROR"  # of log4j2.properties

_CAUSES: Final = (
    r'Cannot run program "[^"]*"[^\n|]*?(?=\n|$)',
    r"No module named '[^']+'",
    r"\[PYTHON_VERSION_MISMATCH\][^\n]*",
)


def check_executors(session: SparkSession, master: str) -> None:
    """Runs one task that looks for the packages.

    Raises:
        SparkStartError: if no task runs there, or a package is missing.
    """
    names = tuple(PACKAGES)

    def look(batches: Iterator[Any]) -> Iterator[Any]:  # nested, so that it is sent by value
        import importlib.util

        import pyarrow

        missing = [name for name in names if importlib.util.find_spec(name) is None]
        for _ in batches:
            yield pyarrow.RecordBatch.from_pydict({"missing": [",".join(missing)]})

    is_connect = master.startswith("sc://")
    if not is_connect:
        session.sparkContext.setLogLevel("OFF")  # one sentence explains what is wrong, and not Java
    try:
        (row,) = session.range(1).mapInArrow(look, "missing string").collect()
    except (Py4JJavaError, PySparkException) as error:
        raise SparkStartError(_explain(master, _find_cause(str(error)))) from None
    finally:
        if not is_connect:
            session.sparkContext.setLogLevel(LEVEL)
    if row.missing:
        lacking = ", ".join(PACKAGES[name] for name in row.missing.split(","))
        raise SparkStartError(_explain(master, f"it lacks {lacking}"))


def _find_cause(text: str) -> str:
    found = next((match[0] for cause in _CAUSES if (match := re.search(cause, text))), text.partition("\n")[0])
    return found.strip().rstrip(".")[:300]


def _explain(master: str, cause: str) -> str:
    given, version = os.environ.get("PYSPARK_PYTHON"), f"{sys.version_info.major}.{sys.version_info.minor}"
    where = f"PYSPARK_PYTHON{f', which is {given},' if given else ''} or spark.pyspark.python in spark.yaml"
    if master.startswith("sc://"):
        where = "the server's own variable PYSPARK_PYTHON"
    return (
        f"the executors of {master} cannot run Python for Daylight ({cause}): set {where} to a Python {version} with"
        " the packages in docs/operations.md"
    )
