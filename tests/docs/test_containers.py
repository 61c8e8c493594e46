import re
from pathlib import Path

import pytest
import yaml

from resources.settings import Settings
from resources.spark.executors import PACKAGES

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".lock")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def pins(lock: str) -> set[tuple[str, str]]:
    return set(re.findall(r"^([\w.-]+)(?:\[\w+\])?==([\w.]+)", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_variable_of_daylight_is_a_setting(path):
    found = set(re.findall(r"DAYLIGHT_([A-Z_]+)", path.read_text()))
    assert sorted(found - {name.upper() for name in Settings.model_fields}) == []


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.suffix in {".yaml", ".yml"}], ids=lambda path: path.name
)
def test_every_file_is_yaml(path):
    assert all(yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize("lock", ["deploy/dagster.lock", "deploy/executor.lock"])
def test_containers_have_the_versions_of_the_lock(lock):
    tested = pins("requirements.lock")
    names = {name for name, _ in tested}
    assert sorted((name, version) for name, version in pins(lock) - tested if name in names) == []


def test_the_container_of_executors_has_their_packages_and_no_framework():
    names = {name for name, _ in pins("deploy/executor.lock")}
    assert names >= {*PACKAGES.values(), "pyspark"}
    assert not names & {"dagster", "keras", "matplotlib", "onnx", "tensorflow", "tensorflow-cpu"}


def test_databricks_keeps_the_packages_of_its_runtime():
    runtime = dict(pins("deploy/databricks/runtime.txt"))
    assert not runtime.keys() & dict(pins("deploy/databricks/requirements.lock")).keys()
    assert runtime["pyspark"].startswith("4.0.")


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_service_is_read_only_and_drops_its_rights(name):
    service = COMPOSE["services"][name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_kubernetes_limits_runs_as_dagster_yaml_does():
    values = yaml.safe_load((DEPLOY / "kubernetes" / "dagster-values.yaml").read_text())
    ours = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    limits = values["concurrency"]
    assert limits["pools"] == {
        "defaultLimit": ours["concurrency"]["pools"]["default_limit"],
        "granularity": ours["concurrency"]["pools"]["granularity"],
    }
    assert limits["runs"]["maxConcurrentRuns"] == ours["concurrency"]["runs"]["max_concurrent_runs"]
