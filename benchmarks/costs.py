"""Costs: what one image costs a candidate within one round of one experiment.

With two sizes or more, this is the marginal cost between the smallest and the largest; with one size, start-up counts.
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
    def candidates(self) -> list[str]:
        """Labels in alphabetical order."""
        return sorted({run["candidate"] for run in self.runs})

    def sizes(self, candidate: str) -> list[Measured]:
        """The runs of a candidate, fewest images first."""
        return sorted((run for run in self.runs if run["candidate"] == candidate), key=lambda run: run["images"])

    def cpu(self, candidate: str) -> float:
        """CPU-seconds per image."""
        return self._per_image(candidate, "cpu_seconds")

    def wall(self, candidate: str) -> float:
        """Wall-clock seconds per image."""
        return self._per_image(candidate, "wall_seconds")

    def shortest(self, candidate: str) -> float:
        """Wall-clock seconds of the fewest images, start included."""
        return self.sizes(candidate)[0]["wall_seconds"]

    def break_even(self, candidate: str, other: str) -> float:
        """Number of images from which a candidate takes less time than another, which starts sooner."""
        lead = self.shortest(candidate) - self.shortest(other)
        return self.sizes(candidate)[0]["images"] + lead / (self.wall(other) - self.wall(candidate))

    def fact(self, candidate: str, name: str) -> float:
        """A fact that the candidate reported at its largest size."""
        return self.sizes(candidate)[-1]["facts"][name]

    def stored(self, candidate: str) -> float:
        """Bytes per image of the features in the candidate's table."""
        return self.fact(candidate, "features_bytes") / self.sizes(candidate)[-1]["images"]

    def worker_mebibytes(self, candidate: str) -> list[float]:
        """Peak memory of a Python worker of Spark, by size."""
        return [run["peak_mebibytes"]["worker"] for run in self.sizes(candidate)]

    def _per_image(self, candidate: str, cost: str) -> float:
        small, *_, large = self.sizes(candidate) * 2
        if small["images"] == large["images"]:
            return large[cost] / large["images"]
        return (large[cost] - small[cost]) / (large["images"] - small["images"])


def rounds_of(results: Mapping[str, Any], experiment: str) -> Iterator[Round]:
    """The complete rounds of an experiment; interrupted and unfinished ones are left out."""
    counts = [each["run_counts"][experiment] for each in results["launches"] if experiment in each["run_counts"]]
    mine = [run for run in results["runs"] if run["experiment"] == experiment]
    for number in sorted({run["round"] for run in mine}):
        runs = [run for run in mine if run["round"] == number]
        if [len(runs)] == counts:
            yield Round(runs)
