"""The classifier registry: only judged candidates are promoted, and a rollback withdraws a version until reversed."""

from pathlib import Path

import pytest
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession

from pipeline.evaluation.gate_rules import PromotionError
from pipeline.training.classifier import Classifier
from resources.lake.lake import Lake
from resources.models.damage import ModelError
from resources.models.registry import ClassifierRegistry
from resources.models.store import ModelStore
from resources.spark.session import SparkResource

A, B, C = "a" * 16, "b" * 16, "c" * 16


@pytest.fixture
def registry(tmp_path: Path, spark: SparkSession, spark_resource: SparkResource) -> ClassifierRegistry:
    """A registry that promoted A, then B."""
    store = ModelStore(lake=Lake(root=str(tmp_path)), spark=spark_resource)
    for version in (A, B):
        store.save("classifier", Classifier(version, "backbone", PipelineModel([]), {"backbone": "backbone"}))
    return ClassifierRegistry(store=store)


def test_a_candidate_without_a_verdict_on_the_current_classifier_is_not_promoted(registry: ClassifierRegistry) -> None:
    with pytest.raises(PromotionError, match="never compared with the current classifier"):
        registry.check_promotable(C)
    registry.record_verdict(C, {})
    registry.check_promotable(C)
    registry.store.save("classifier", registry.store.open_classifier(A))
    with pytest.raises(PromotionError, match="never compared"):
        registry.check_promotable(C)
    registry.check_promotable(A)


def test_a_refused_candidate_is_not_promoted_and_the_error_gives_the_reasons(registry: ClassifierRegistry) -> None:
    registry.record_verdict(C, {"candidate_is_calibrated": "error 0.3"})
    with pytest.raises(PromotionError, match=f"candidate {C} was refused: candidate_is_calibrated: error 0.3"):
        registry.check_promotable(C)


def test_verdicts_and_withdrawals_of_commit_41041cd_are_read(registry: ClassifierRegistry) -> None:
    registry.store.write_note("verdicts", C, {"against": B, "refusals": {}})
    registry.store.write_note("withdrawn", A, {"for": B})
    registry.check_promotable(C)
    assert registry.is_withdrawn(A)


@pytest.mark.parametrize("version", [A, "previous"])
def test_a_rollback_withdraws_the_current_classifier_until_it_is_promoted_again(
    registry: ClassifierRegistry, version: str
) -> None:
    restored = registry.roll_back(version)
    assert restored.version == A
    assert (registry.is_withdrawn(B), registry.is_withdrawn(A)) == (True, False)
    registry.store.save("classifier", restored)
    registry.store.save("classifier", registry.roll_back(B))
    assert (registry.is_withdrawn(B), registry.is_withdrawn(A)) == (False, True)


def test_rolling_back_to_a_never_promoted_version_is_refused_and_lists_former_versions(
    registry: ClassifierRegistry,
) -> None:
    with pytest.raises(PromotionError, match=f"'{C}' was never promoted in this lake; former versions, .*: {A}"):
        registry.roll_back(C)
    assert not registry.is_withdrawn(B)


def test_a_rollback_to_a_damaged_classifier_withdraws_nothing(registry: ClassifierRegistry, tmp_path: Path) -> None:
    (tmp_path / "models" / "classifier" / A / "evaluation.json").unlink()
    with pytest.raises(ModelError, match="missing or damaged"):
        registry.roll_back(A)
    assert not registry.is_withdrawn(B)
