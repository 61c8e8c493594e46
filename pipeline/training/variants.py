"""The choice of a variant: which reading and which fit of a network are the most accurate on the labelled images.

Records of earlier choices are `resources/models/variants.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame

from pipeline.networks.variant import Variant
from pipeline.reports.markdown import markdown_table
from pipeline.reports.report import Report
from pipeline.training.cross_fit import cross_fit
from pipeline.training.params import ClassifierParams
from pipeline.training.training_set import check_trainable, select_labelled


@dataclass(frozen=True)
class VariantChoice:
    """A variant, and the accuracy of every variant that was measured, 0 to 1; none if there was nothing to choose."""

    variant: Variant
    accuracies: Mapping[Variant, float]

    @property
    def reason(self) -> str:
        """The choice as a sentence that begins with the variant."""
        if not self.accuracies:
            return f"{self.variant}: the only one"
        others = ", ".join(f"{each} {found:.3f}" for each, found in self.accuracies.items() if each != self.variant)
        return f"{self.variant}: accuracy {self.accuracies[self.variant]:.3f}; {others}"


def choose_variant(readings: Sequence[str], fits: Sequence[str], measure: Callable[[Variant], float]) -> VariantChoice:
    """Chooses the most accurate reading in the first fit, then the most accurate fit of that; of equals the first.

    Args:
        readings: values of `Variant.features_tensor`, the likeliest first.
        fits: values of `Variant.fit`.
        measure: measures the accuracy of a variant, each at most once; not called if there is nothing to choose.
    """
    accuracies: dict[Variant, float] = {}

    def choose(variants: list[Variant]) -> Variant:
        if len(variants) > 1:
            accuracies.update({each: measure(each) for each in variants if each not in accuracies})
        return max(variants, key=lambda each: accuracies.get(each, 0.0))

    reading = choose([Variant(each, fits[0]) for each in readings]).features_tensor
    return VariantChoice(choose([Variant(reading, fit) for fit in fits]), accuracies)


def measure_accuracy(features: DataFrame) -> float:
    """The share of labelled images that a cross-fit of the default head names correctly, 0 to 1.

    Raises:
        TrainingError: if nothing can be fitted or evaluated.
    """
    labelled = select_labelled(features)
    check_trainable(labelled, features)
    (answers,) = cross_fit(labelled, ClassifierParams(), shelf_counts=())
    return float(answers.is_right.mean())


def describe_variant(choice: VariantChoice) -> Report:
    """Reports the reason for the variant, and the accuracies."""
    rows = [[str(each), f"{found:.3f}"] for each, found in choice.accuracies.items()]
    table = {"variants": markdown_table(["variant", "accuracy"], rows)} if rows else {}
    return Report(texts={"variant": choice.reason}, tables=table)
