"""The classifier registry: verdicts on candidates, promotion, roll-back and withdrawal; models are `store.py`."""

from collections.abc import Mapping
from typing import Any, Final

import dagster as dg
from pydantic import Field

from pipeline.evaluation.gate_rules import PromotionError
from pipeline.training.classifier import Classifier
from resources.models.store import ModelStore

ASSET: Final = "classifier"
VERDICTS: Final = "verdicts"
WITHDRAWN: Final = "withdrawn"
PREVIOUS: Final = "previous"


class ClassifierRegistry(dg.ConfigurableResource):
    """Decides which classifier may be promoted, and records why."""

    store: ModelStore = Field(description="Store of the classifiers and of the records about them.")

    @property
    def current(self) -> str | None:
        """Version of the promoted classifier; None before the first promotion."""
        return next(iter(self.store.list_versions(ASSET)), None)

    def record_verdict(self, candidate: str, refusals: Mapping[str, str]) -> None:
        """Records the verdict of the gate on a candidate: reasons by broken rule, none if it may be promoted."""
        self.store.write_note(VERDICTS, candidate, {"against": self.current, "refusals": dict(refusals)})

    def is_withdrawn(self, version: str) -> bool:
        """Whether somebody rolled back from this classifier and has not promoted it again."""
        record = self.store.read_note(WITHDRAWN, version)
        return bool(record) and not record.get("reinstated")

    def check_promotable(self, candidate: str) -> None:
        """Checks the recorded verdict, because a launch of `classifier` alone runs no checks.

        Raises:
            PromotionError: if the gate refused the candidate or did not compare it with the current classifier.
        """
        current = self.current
        if candidate == current:
            return
        verdict = self.store.read_note(VERDICTS, candidate)
        if not verdict or verdict["against"] != current:
            raise PromotionError(
                f"the candidate {candidate} was never compared with the current classifier:"
                " materialize classifier_candidate together with its checks first (dg launch --job training)"
            )
        if verdict["refusals"]:
            reasons = "; ".join(f"{name}: {why}" for name, why in verdict["refusals"].items())
            raise PromotionError(f"the candidate {candidate} was refused: {reasons}")

    def roll_back(self, version: str) -> Classifier:
        """Opens a former classifier and withdraws the current one, so that no retraining promotes it again.

        Args:
            version: version of a former classifier, or `previous`.

        Raises:
            PromotionError: if this version was never promoted.
            ModelError: if the classifier is missing or damaged; nothing is withdrawn then.
        """
        current, *former = self.store.list_versions(ASSET) or [""]
        wanted = former[0] if version == PREVIOUS and former else version
        if wanted not in [current, *former]:
            versions = ", ".join(former) or "none"
            raise PromotionError(
                f"{version!r} was never promoted in this lake; former versions, newest first: {versions}"
            )
        classifier = self.store.open_classifier(wanted)
        if wanted != current:
            self.store.write_note(WITHDRAWN, current, {"for": wanted})
            if self.is_withdrawn(wanted):
                self.store.write_note(WITHDRAWN, wanted, {"reinstated": True})
        return classifier

    def list_evaluations(self, promoted: str, count: int) -> list[tuple[str, dict[str, Any]]]:
        """Lists versions with their stored evaluations: the promoted one, then at most `count` - 1 former ones."""
        former = [version for version in self.store.list_versions(ASSET) if version != promoted]
        read = ((version, self.store.read_evaluation(version)) for version in [promoted, *former[: count - 1]])
        return [(version, report) for version, report in read if report]
