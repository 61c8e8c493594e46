"""The plan: the candidates of every experiment and their image counts. Change them here and nowhere else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

DEFAULT_BACKBONE: Final = "efficientnet-lite0"
FP32, INT8 = f"{DEFAULT_BACKBONE}:fp32", f"{DEFAULT_BACKBONE}:int8"
RESNET_FP32, RESNET_INT8 = "resnet50:fp32", "resnet50:int8"


@dataclass(frozen=True)
class Candidate:
    """A program to measure.

    Attributes:
        module: name below `benchmarks`.
        graph: backbone and precision; empty if the candidate builds its own network.
        cores: number of cores that it may use.
        arguments: further arguments of its command line.
        sizes: key in `SIZES`, if it differs from that of the experiment.
    """

    module: str
    graph: str
    cores: int = 2
    arguments: tuple[str, ...] = ()
    sizes: str = ""


@dataclass(frozen=True)
class Run:
    """A candidate and a number of images."""

    candidate: Candidate
    image_count: int


@dataclass(frozen=True)
class Experiment:
    """Candidates to compare with each other. In every round, each runs once at each of its sizes.

    Attributes:
        name: value of `--only` and key in `SIZES`.
        title: heading in `docs/benchmarks.md`.
        candidates: programs to compare.
        rounds: maximum number of rounds; None for no maximum.
    """

    name: str
    title: str
    candidates: tuple[Candidate, ...]
    rounds: int | None = None

    def runs(self, round_number: int, sizes: Mapping[str, Sequence[int]]) -> Iterator[Run]:
        """All runs of a round; the first candidate changes from round to round."""
        start = round_number % len(self.candidates)
        for candidate in self.candidates[start:] + self.candidates[:start]:
            for image_count in sizes[candidate.sizes or self.name]:
                yield Run(candidate, image_count)


SIZES: Final[Mapping[str, tuple[int, ...]]] = {
    "floor": (500, 2_000),
    "inference": (100,),
    "marginal": (10_000, 50_000),
    "cold": (3_000,),
    "peers": (1_000, 4_000),
    "cores": (1_000, 4_000),
    "growth": (1_000, 10_000, 100_000),
    "again": (10_000,),
    "bytes": (1_000, 10_000),
    "original": (100, 1_200),
}


def _floor(graph: str) -> tuple[Candidate, ...]:
    bare = Candidate("bare", graph, cores=1, sizes="floor")
    return bare, replace(bare, arguments=("--inference-only",), sizes="inference")


def _daylight(*graphs: str) -> tuple[Candidate, ...]:
    return tuple(Candidate("daylight", graph) for graph in graphs)


EXPERIMENTS: Final = (
    Experiment(
        "marginal",
        "Marginal cost of an image, against the bare loop and ONNX Runtime alone",
        (*_daylight(FP32), *_floor(FP32), *_daylight(INT8), *_floor(INT8)),
    ),
    Experiment(
        "cold",
        "One day including start-up, against the bare loop",
        (*_daylight(FP32), *_floor(FP32)[:1], *_daylight(INT8), *_floor(INT8)[:1]),
    ),
    Experiment(
        "peers",
        "Ray Data and Daft with the same graphs and images",
        tuple(Candidate(name, graph) for graph in (FP32, INT8) for name in ("daylight", "ray_data", "daft_")),
    ),
    Experiment(
        "cores",
        "One core against two",
        tuple(Candidate("daylight", graph, cores) for graph in (FP32, INT8) for cores in (1, 2)),
    ),
    Experiment("again", "The same images on a second day", (Candidate("daylight", INT8, arguments=("--again",)),)),
    Experiment(
        "bytes",
        "Image bytes in the lake, and read from their files again",
        tuple(Candidate("daylight", INT8, arguments=("--store-bytes", each)) for each in ("days", "never")),
    ),
    Experiment(
        "original",
        "The original notebook, both with ResNet50",
        (Candidate("original", ""), *_daylight(RESNET_FP32, RESNET_INT8)),
    ),
    Experiment("growth", "Ten and a hundred times as many images", _daylight(INT8), rounds=1),
)

START_SECONDS: Final = {"daylight": 20, "original": 30, "ray_data": 20, "daft_": 4, "bare": 1}
CORE_SECONDS: Final = {"": 0.12, FP32: 0.010, INT8: 0.007, RESNET_FP32: 0.045, RESNET_INT8: 0.016}
PEER_FACTOR: Final = {"ray_data": 2.5, "daft_": 2.5}
"""Rough factors to estimate the duration of a launch; no result depends on them."""


def estimate_seconds(run: Run) -> float:
    """Rough wall-clock seconds of a run."""
    candidate = run.candidate
    seconds = CORE_SECONDS[candidate.graph] * PEER_FACTOR.get(candidate.module, 1) / candidate.cores
    return START_SECONDS[candidate.module] + run.image_count * seconds
