"""The golden set: a few photos and their expected features, stored inside the graph's file.

A worker whose processor, decoder or runtime computes different features detects it before it writes any.
"""

import json
import platform
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import numpy as np

from pipeline.embed.decode import decode
from pipeline.embed.file_kinds import DECODING_PACKAGES

KEY: Final = "daylight_golden"  # in the metadata of the ONNX file
TOLERANCES: Final[Mapping[str, float]] = {"fp32": 1e-3, "int8": 5e-2}  # rounding, and for int8 a neighbouring step


@dataclass(frozen=True)
class GoldenSet:
    """Photos and their expected features.

    Attributes:
        contents: bytes of the JPEGs.
        features: float32 `[photos, d]`.
        tolerance: maximum difference of a feature, relative to the largest one.
    """

    contents: tuple[bytes, ...]
    features: np.ndarray
    tolerance: float

    def difference(self, embed: Callable[[np.ndarray], np.ndarray], size: int) -> float:
        """Embeds the photos again; returns the largest difference, relative to the largest feature."""
        actual = embed(_decode_all(self.contents, size))
        return float(np.abs(actual - self.features).max() / np.abs(self.features).max())

    def to_text(self) -> str:
        """The set as JSON."""
        contents = [b64encode(content).decode() for content in self.contents]
        features = b64encode(self.features.astype("<f4").tobytes()).decode()
        return json.dumps({"contents": contents, "features": features, "tolerance": self.tolerance})


def make_golden_set(
    contents: Sequence[bytes], embed: Callable[[np.ndarray], np.ndarray], size: int, precision: str
) -> GoldenSet:
    """Embeds photos and makes them a golden set; `precision` is `fp32` or `int8`."""
    return GoldenSet(tuple(contents), embed(_decode_all(contents, size)), TOLERANCES[precision])


def read_golden_set(text: str) -> GoldenSet:
    """Parses the text of `GoldenSet.to_text`."""
    stored = json.loads(text)
    contents = tuple(b64decode(content) for content in stored["contents"])
    features = np.frombuffer(b64decode(stored["features"]), "<f4").reshape(len(contents), -1)
    return GoldenSet(contents, features, stored["tolerance"])


def describe_worker() -> str:
    """Names the machine, its processor type and the package versions that affect the last digits of features."""
    versions = ", ".join(f"{package} {version(package)}" for package in ("onnxruntime", "numpy", *DECODING_PACKAGES))
    return f"{platform.node()} ({platform.machine()}, {versions})"


def _decode_all(contents: Sequence[bytes], size: int) -> np.ndarray:
    return np.stack([decode(content, size).pixels for content in contents])
