"""The bars: limits on ratios within one round, judged by their median over the rounds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from benchmarks.costs import Round, rounds_of


@dataclass(frozen=True)
class Bar:
    """A limit on a ratio.

    Attributes:
        experiment: name of the experiment that measures it.
        sentence: description of the ratio.
        limit: bound on the median.
        is_minimum: whether the limit is a minimum; else it is a maximum.
        ratio: function of a round.
    """

    experiment: str
    sentence: str
    limit: float
    is_minimum: bool
    ratio: Callable[[Round], float]


@dataclass(frozen=True)
class Judgement:
    """A bar and the ratios of the rounds, smallest first."""

    bar: Bar
    ratios: Sequence[float]

    @property
    def median(self) -> float:
        """Median ratio."""
        return median(self.ratios)

    @property
    def holds(self) -> bool:
        """Whether the median keeps the limit."""
        return self.median >= self.bar.limit if self.bar.is_minimum else self.median <= self.bar.limit


def judge(results: Mapping[str, Any]) -> Iterator[Judgement]:
    """Judges all bars of measured experiments."""
    for bar in BARS:
        ratios = sorted(bar.ratio(each) for each in rounds_of(results, bar.experiment))
        if ratios:
            yield Judgement(bar, ratios)


def _at_most(experiment: str, sentence: str, limit: float, ratio: Callable[[Round], float]) -> Bar:
    return Bar(experiment, sentence, limit, False, ratio)


def _at_least(experiment: str, sentence: str, limit: float, ratio: Callable[[Round], float]) -> Bar:
    return Bar(experiment, sentence, limit, True, ratio)


def _cpu_ratio(one: str, other: str) -> Callable[[Round], float]:
    return lambda each: each.cpu(one) / each.cpu(other)


def _speed_ratio(one: str, other: str) -> Callable[[Round], float]:
    return lambda each: each.wall(other) / each.wall(one)


def _against_one_core(candidate: str) -> Callable[[Round], float]:
    return _speed_ratio(candidate, f"{candidate} on 1 core")


def _against(peer: str, name: str) -> Iterator[Bar]:
    for precision, limit in (("fp32", 1.0), ("int8", 0.7)):
        one, other = f"daylight {precision}", f"{peer} {precision}"
        yield _at_most("peers", f"marginal CPU per image, against {name}, {precision}", limit, _cpu_ratio(one, other))
        yield _at_least("peers", f"images per second, against {name}, {precision}", 1.5, _speed_ratio(one, other))


BARS: Final = (
    _at_most("marginal", "marginal CPU per image, against bare, fp32", 1.1, _cpu_ratio("daylight fp32", "bare fp32")),
    _at_most("marginal", "marginal CPU per image, against bare, int8", 1.25, _cpu_ratio("daylight int8", "bare int8")),
    _at_most("cold", "CPU including start-up, against bare, fp32", 2, _cpu_ratio("daylight fp32", "bare fp32")),
    _at_most("cold", "CPU including start-up, against bare, int8", 2, _cpu_ratio("daylight int8", "bare int8")),
    _at_least("cores", "images per second, two cores against one, fp32", 1.85, _against_one_core("daylight fp32")),
    _at_least("cores", "images per second, two cores against one, int8", 1.85, _against_one_core("daylight int8")),
    _at_least("marginal", "CPU-efficiency of int8, against fp32", 1.7, _cpu_ratio("daylight fp32", "daylight int8")),
    _at_least("original", "CPU-efficiency of int8, ResNet50", 3, _cpu_ratio("daylight fp32", "daylight int8")),
    *_against("ray_data", "Ray Data"),
    *_against("daft", "Daft"),
    _at_most(
        "peers", "seconds of the fewest images, start included, against Daft, int8", 1.7,
        lambda each: each.shortest("daylight int8") / each.shortest("daft int8"),
    ),
    _at_most(
        "peers", "images from which a day takes less time than with Daft, int8", 3_000,
        lambda each: each.break_even("daylight int8", "daft int8"),
    ),
    _at_least("original", "CPU-efficiency of int8, against the original", 4, _cpu_ratio("original", "daylight int8")),
    _at_least("original", "images per second, int8 against the original", 4, _speed_ratio("daylight int8", "original")),
    _at_least(
        "original", "bytes of features, the original against Daylight", 90,
        lambda each: each.stored("original") / each.stored("daylight int8"),
    ),
    _at_least(
        "again", "seconds of featurization, first day against second", 20,
        lambda each: each.fact("daylight int8 again", "featurization_seconds")
        / each.fact("daylight int8 again", "again_featurization_seconds"),
    ),
    _at_most(
        "again", "images embedded on the second day", 0,
        lambda each: each.fact("daylight int8 again", "again_miss_count"),
    ),
    _at_most(
        "growth", "peak memory of a Python worker, most images against fewest", 1.1,
        lambda each: each.worker_mebibytes("daylight int8")[-1] / each.worker_mebibytes("daylight int8")[0],
    ),
)  # fmt: skip
