"""Private APIs of other projects: one file each, checked against the version that is installed."""

import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import private_dagster
import pytest

import pipeline.networks.private
import pipeline.storage.private
import resources.instance.private

ROOT = Path(__file__).parents[2]
HOMES = {"resources/instance/private.py", "pipeline/storage/private.py", "pipeline/networks/private.py"}
PRIVATE = re.compile(
    r"dagster\w*\._[a-z]|pyspark\w*\._[a-z]|onnxruntime\.capi|\b_(jvm|jsc|instantiatedSession)\b|\bstep_context\b"
)


@pytest.mark.parametrize(
    ("package", "checked"),
    [
        ("dagster", [resources.instance.private.DAGSTER_VERSION]),
        ("dagster", [private_dagster.DAGSTER_VERSION]),
        ("pyspark", pipeline.storage.private.PYSPARK_VERSIONS),
        ("onnxruntime", [pipeline.networks.private.ONNXRUNTIME_VERSION]),
    ],
)
def test_private_apis_were_checked_against_the_installed_version(package: str, checked: Sequence[str]) -> None:
    assert version(package) in checked, f"check the private APIs of {package} again, then add the version here"


def test_no_other_module_uses_a_private_api() -> None:
    using = {
        path.relative_to(ROOT).as_posix()
        for folder in ("assets", "resources", "pipeline", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if PRIVATE.search(path.read_text(encoding="utf-8"))
    }
    assert using == HOMES


def test_tests_import_private_dagster_from_one_file() -> None:
    importing = {path.name for path in (ROOT / "tests").rglob("*.py") if "from dagster._" in path.read_text("utf-8")}
    assert importing - {Path(__file__).name} == {"private_dagster.py"}
