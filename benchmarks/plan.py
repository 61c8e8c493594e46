"""The plan: which contestants run on how many pictures, side by side. Change it here and nowhere else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

DEFAULT_BACKBONE: Final = "efficientnet-lite0"
FP32, INT8 = f"{DEFAULT_BACKBONE}:fp32", f"{DEFAULT_BACKBONE}:int8"
RESNET_FP32, RESNET_INT8 = "resnet50:fp32", "resnet50:int8"


@dataclass(frozen=True)
class Candidate:
    """What is run.

    Attributes:
        module: below `benchmarks`.
        graph: name and precision; empty where it builds its own network.
        cores: that it may use.
        words: further words of its command line.
        sizes: the entry of `SIZES` it follows, where that is not the experiment's.
    """

    module: str
    graph: str
    cores: int = 2
    words: tuple[str, ...] = ()
    sizes: str = ""


@dataclass(frozen=True)
class Run:
    """A contestant and a number of pictures."""

    contestant: Candidate
    picture_count: int


@dataclass(frozen=True)
class Experiment:
    """Contestants that are compared with each other; in every round each runs once at each of its sizes.

    Attributes:
        name: for `--only`, and of its entry in `SIZES`.
        title: a sentence for the page.
        contestants: which.
        rounds: at most; None for as many as were asked for.
    """

    name: str
    title: str
    contestants: tuple[Candidate, ...]
    rounds: int | None = None

    def runs(self, round_number: int, sizes: Mapping[str, Sequence[int]]) -> Iterator[Run]:
        """All runs of a round; who begins changes from round to round."""
        start = round_number % len(self.contestants)
        for contestant in self.contestants[start:] + self.contestants[:start]:
            for picture_count in sizes[contestant.sizes or self.name]:
                yield Run(contestant, picture_count)


SIZES: Final[Mapping[str, tuple[int, ...]]] = {
    "floor": (500, 2_000),
    "inference": (100,),
    "marginal": (10_000, 50_000),
    "cold": (3_000,),
    "peers": (1_000, 4_000),
    "cores": (1_000, 4_000),
    "growth": (1_000, 10_000, 100_000),
    "again": (10_000,),
    "original": (100, 1_200),
}


def _floor(graph: str) -> tuple[Candidate, ...]:
    bare = Candidate("bare", graph, cores=1, sizes="floor")
    return bare, replace(bare, words=("--inference-only",), sizes="inference")


def _daylight(*graphs: str) -> tuple[Candidate, ...]:
    return tuple(Candidate("daylight", graph) for graph in graphs)


EXPERIMENTS: Final = (
    Experiment(
        "marginal",
        "What one more picture costs, beside the bare loop and ONNX Runtime alone",
        (*_daylight(FP32), *_floor(FP32), *_daylight(INT8), *_floor(INT8)),
    ),
    Experiment(
        "cold",
        "A day of its own, start-up included, beside the bare loop",
        (*_daylight(FP32), *_floor(FP32)[:1], *_daylight(INT8), *_floor(INT8)[:1]),
    ),
    Experiment(
        "peers",
        "Ray Data and Daft with the same graphs on the same pictures",
        tuple(Candidate(name, graph) for graph in (FP32, INT8) for name in ("daylight", "ray_data", "daft_")),
    ),
    Experiment(
        "cores",
        "One core against two",
        tuple(Candidate("daylight", graph, cores) for graph in (FP32, INT8) for cores in (1, 2)),
    ),
    Experiment("again", "The same pictures on a second day", (Candidate("daylight", INT8, words=("--again",)),)),
    Experiment(
        "original",
        "The original's way, ResNet50 on both sides",
        (Candidate("original", ""), *_daylight(RESNET_FP32, RESNET_INT8)),
    ),
    Experiment("growth", "Ten and a hundred times the pictures", _daylight(INT8), rounds=1),
)

START_SECONDS: Final = {"daylight": 20, "original": 30, "ray_data": 20, "daft_": 4, "bare": 1}
CORE_SECONDS: Final = {"": 0.12, FP32: 0.010, INT8: 0.007, RESNET_FP32: 0.045, RESNET_INT8: 0.016}
PEER_FACTOR: Final = {"ray_data": 2.5, "daft_": 2.5}
"""Guesses for telling how long a launch will take; no result depends on them."""


def estimate_seconds(run: Run) -> float:
    """By the clock, roughly."""
    contestant = run.contestant
    seconds = CORE_SECONDS[contestant.graph] * PEER_FACTOR.get(contestant.module, 1) / contestant.cores
    return START_SECONDS[contestant.module] + run.picture_count * seconds
