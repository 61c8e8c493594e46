"""Promotion: a candidate beside the classifier in use. What follows from it is the checks' to say."""

from dataclasses import dataclass

from pyspark.sql import DataFrame

from pipeline.classifier import Classifier, evaluate_classifier


@dataclass(frozen=True)
class Comparison:
    """A candidate beside the classifier in use, on the same holdout.

    Attributes:
        candidate: accuracy of the candidate.
        present: accuracy of the classifier in use; None where they cannot be compared.
        note: what was compared, or why nothing was.
    """

    candidate: float
    present: float | None
    note: str

    @property
    def told(self) -> str:
        """The comparison as a sentence."""
        if self.present is None:
            return f"nothing to compare with: {self.note}"
        return f"accuracy {self.candidate:.3f}, and {self.present:.3f} of the classifier in use: {self.note}"


def compare_classifiers(candidate: Classifier, present: Classifier | None, features: DataFrame) -> Comparison:
    """Evaluates both on the holdout of these features, which are of the candidate's backbone."""
    accuracy = candidate.report["accuracy"]
    if present is None:
        return Comparison(accuracy, None, "there is no classifier yet")
    if present.version == candidate.version:
        return Comparison(accuracy, accuracy, "the candidate is the classifier in use")
    if present.backbone != candidate.backbone:
        return Comparison(accuracy, None, "the classifier in use takes features of another backbone")
    same_holdout = evaluate_classifier(features, present)
    return Comparison(accuracy, same_holdout.accuracy, f"both on the same {same_holdout.support} holdout pictures")
