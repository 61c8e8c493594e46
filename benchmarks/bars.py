"""The bars: what must hold, each a ratio within one round, judged by its median over the rounds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from benchmarks.costs import Round, rounds_of


@dataclass(frozen=True)
class Bar:
    """A bar.

    Attributes:
        experiment: that it is measured in.
        sentence: what the ratio is of.
        limit: that the median is held against.
        is_least: whether the limit is the least that is allowed; else the most.
        ratio: of a round.
    """

    experiment: str
    sentence: str
    limit: float
    is_least: bool
    ratio: Callable[[Round], float]


@dataclass(frozen=True)
class Judgement:
    """A bar and the ratios of the rounds, the smallest first."""

    bar: Bar
    ratios: Sequence[float]

    @property
    def median(self) -> float:
        """Of the ratios."""
        return median(self.ratios)

    @property
    def holds(self) -> bool:
        """Whether the median is on the right side of the limit."""
        return self.median >= self.bar.limit if self.bar.is_least else self.median <= self.bar.limit


def judge(results: Mapping[str, Any]) -> Iterator[Judgement]:
    """Judges all bars whose experiments were run."""
    for bar in BARS:
        ratios = sorted(bar.ratio(each) for each in rounds_of(results, bar.experiment))
        if ratios:
            yield Judgement(bar, ratios)


def _at_most(experiment: str, sentence: str, limit: float, ratio: Callable[[Round], float]) -> Bar:
    return Bar(experiment, sentence, limit, False, ratio)


def _at_least(experiment: str, sentence: str, limit: float, ratio: Callable[[Round], float]) -> Bar:
    return Bar(experiment, sentence, limit, True, ratio)


def _of_cpu(one: str, other: str) -> Callable[[Round], float]:
    return lambda each: each.cpu(one) / each.cpu(other)


def _of_speed(one: str, other: str) -> Callable[[Round], float]:
    return lambda each: each.wall(other) / each.wall(one)


def _from_one_core(contestant: str) -> Callable[[Round], float]:
    return _of_speed(contestant, f"{contestant} on 1 core")


def _against(peer: str, name: str) -> Iterator[Bar]:
    """Fewer in fp32 has its limit at 1, and means below it."""
    for precision, limit in (("fp32", 1.0), ("int8", 0.7)):
        one, other = f"daylight {precision}", f"{peer} {precision}"
        yield _at_most("peers", f"CPU of one more picture, against {name}, {precision}", limit, _of_cpu(one, other))
        yield _at_least("peers", f"pictures a second, against {name}, {precision}", 1.5, _of_speed(one, other))


BARS: Final = (
    _at_most("marginal", "CPU of one more picture, against bare, fp32", 1.1, _of_cpu("daylight fp32", "bare fp32")),
    _at_most("marginal", "CPU of one more picture, against bare, int8", 1.25, _of_cpu("daylight int8", "bare int8")),
    _at_most("cold", "CPU with the start, against bare, fp32", 2, _of_cpu("daylight fp32", "bare fp32")),
    _at_most("cold", "CPU with the start, against bare, int8", 2, _of_cpu("daylight int8", "bare int8")),
    _at_least("cores", "speed of two cores against one, fp32", 1.85, _from_one_core("daylight fp32")),
    _at_least("cores", "speed of two cores against one, int8", 1.85, _from_one_core("daylight int8")),
    _at_least("marginal", "speed by CPU of int8, against fp32", 1.7, _of_cpu("daylight fp32", "daylight int8")),
    _at_least("original", "speed by CPU of int8, against fp32, ResNet50", 3, _of_cpu("daylight fp32", "daylight int8")),
    *_against("ray_data", "Ray Data"),
    *_against("daft", "Daft"),
    _at_least("original", "speed by CPU of int8, against the original", 4, _of_cpu("original", "daylight int8")),
    _at_least("original", "pictures a second of int8, against the original", 4, _of_speed("daylight int8", "original")),
    _at_least(
        "original", "bytes of features, the original against ours", 90,
        lambda each: each.stored("original") / each.stored("daylight int8"),
    ),
    _at_least(
        "again", "seconds of featurization, first day against the second", 20,
        lambda each: each.fact("daylight int8 again", "featurization_seconds")
        / each.fact("daylight int8 again", "again_featurization_seconds"),
    ),
    _at_most(
        "again", "pictures embedded on the second day", 0,
        lambda each: each.fact("daylight int8 again", "again_miss_count"),
    ),
    _at_most(
        "growth", "peak memory of a Python worker, most pictures against fewest", 1.1,
        lambda each: each.worker_mebibytes("daylight int8")[-1] / each.worker_mebibytes("daylight int8")[0],
    ),
)  # fmt: skip
