"""Costs: what one picture costs a contestant, within one round of one experiment.

At two sizes or more it is what one more picture costs, from the smallest to the largest; at one size everything counts,
the start too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.results import Measured


@dataclass(frozen=True)
class Round:
    """The runs of one round of one experiment."""

    runs: Sequence[Measured]

    @property
    def contestants(self) -> list[str]:
        """Labels, in alphabetical order."""
        return sorted({run["contestant"] for run in self.runs})

    def sizes(self, contestant: str) -> list[Measured]:
        """The runs of a contestant, the fewest pictures first."""
        return sorted((run for run in self.runs if run["contestant"] == contestant), key=lambda run: run["pictures"])

    def cpu(self, contestant: str) -> float:
        """CPU-seconds of a picture."""
        return self._each(contestant, "cpu_seconds")

    def wall(self, contestant: str) -> float:
        """Seconds of a picture, by the clock."""
        return self._each(contestant, "wall_seconds")

    def fact(self, contestant: str, name: str) -> float:
        """What the contestant said at its largest size."""
        return self.sizes(contestant)[-1]["facts"][name]

    def stored(self, contestant: str) -> float:
        """Bytes of a picture's features in the table that the contestant leaves."""
        return self.fact(contestant, "features_bytes") / self.sizes(contestant)[-1]["pictures"]

    def worker_mebibytes(self, contestant: str) -> list[float]:
        """The peak of a Python worker of Spark's, at each size."""
        return [run["peak_mebibytes"]["worker"] for run in self.sizes(contestant)]

    def _each(self, contestant: str, cost: str) -> float:
        small, *_, large = self.sizes(contestant) * 2
        if small["pictures"] == large["pictures"]:
            return large[cost] / large["pictures"]
        return (large[cost] - small[cost]) / (large["pictures"] - small["pictures"])


def rounds_of(results: Mapping[str, Any], experiment: str) -> Iterator[Round]:
    """The whole rounds of an experiment in a file of results: one that was cut off or is still running is left out."""
    mine = [run for run in results["runs"] if run["experiment"] == experiment]
    for number in sorted({run["round"] for run in mine}):
        runs = [run for run in mine if run["round"] == number]
        if len(runs) == results["about"]["run_counts"][experiment]:
            yield Round(runs)
