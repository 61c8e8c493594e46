import re
from pathlib import Path

import dagster as dg
import pytest

from assets.definitions import defs

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/operations.md").read_text()
CODE = "\n".join(
    path.read_text() for room in ("assets", "pipeline", "resources") for path in (ROOT / room).rglob("*.py")
)
RED = PAGE[PAGE.index("## When something is red") : PAGE.index("## The run queue")]


@pytest.fixture(scope="module")
def checks() -> set[str]:
    loaded = defs() if callable(defs) else defs
    assert isinstance(loaded, dg.Definitions)
    return {spec.name for check in loaded.asset_checks or [] for spec in check.check_specs}


def test_every_check_has_a_cure(checks):
    named = set(re.findall(r"`([a-z0-9_]+)`", RED))
    assert sorted(name for name in checks - named if not name.startswith("candidate_")) == []


def test_every_check_and_error_with_a_cure_exists(checks):
    sentences = {name for name in re.findall(r"^\| `([a-z0-9_]+)`", RED, re.MULTILINE)}
    errors = set(re.findall(r"`(\w+Error)`", RED))
    assert sorted(sentences - checks) == []
    assert sorted(error for error in errors if f"class {error}(" not in CODE) == []
