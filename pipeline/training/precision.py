"""Precision: whether a network runs in fp32 or in int8, and why; what int8 costs is `precision_costs.py`.

Which pictures there are and what was measured before is `resources/models/precision.py`.
"""

from dataclasses import asdict, dataclass
from typing import Final

from pipeline.reports.report import Report
from pipeline.training.precision_costs import PrecisionCosts

MAX_LOSS: Final = 0.005
"""Of accuracy, 0 to 1: half a point."""

ROUNDING: Final = 1e-9
"""One picture of two hundred is half a point, whatever floats say."""


@dataclass(frozen=True)
class PrecisionChoice:
    """The precision to use.

    Attributes:
        precision: `fp32` or `int8`.
        reason: a sentence for people, which begins with the precision.
        costs: None where nothing was measured.
    """

    precision: str
    reason: str
    costs: PrecisionCosts | None = None


def choose_precision(costs: PrecisionCosts, objection: str | None = None) -> PrecisionChoice:
    """The faster one whose accuracy is within half a point of the better.

    Args:
        costs: as measured.
        objection: why int8 cannot be taken whatever it costs, such as a proof that it fails.
    """
    accuracies = (
        f"accuracy {costs.int8_accuracy:.3f} against {costs.fp32_accuracy:.3f} on {costs.holdout_count} pictures"
    )
    told = f"{costs.speedup:.1f} times as fast"
    if objection:
        return PrecisionChoice("fp32", f"fp32: int8 is {told}, but {objection}", costs)
    if not loses_little(costs):
        reason = f"fp32: int8 is {told}, but loses more than half a point: {accuracies}"
        return PrecisionChoice("fp32", reason, costs)
    if costs.speedup <= 1 and -costs.loss <= MAX_LOSS + ROUNDING:
        return PrecisionChoice("fp32", f"fp32: int8 is no faster, {told}, {accuracies}", costs)
    return PrecisionChoice("int8", f"int8: {told} as fp32, {accuracies}", costs)


def loses_little(costs: PrecisionCosts) -> bool:
    """Whether int8 loses at most half a point of accuracy."""
    return costs.loss <= MAX_LOSS + ROUNDING


def describe_precision(choice: PrecisionChoice) -> Report:
    """Why this precision, and what the other costs."""
    numbers = asdict(choice.costs) | {"int8_speedup": choice.costs.speedup} if choice.costs else {}
    renamed = {"mean_cosine": "int8_mean_cosine", "smallest_cosine": "int8_smallest_cosine"}
    return Report({renamed.get(name, name): number for name, number in numbers.items()}, {"why": choice.reason})
