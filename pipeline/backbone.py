"""The backbone: a frozen ONNX graph from uint8 pixels to a feature vector, and the one session a worker has of it.

How a graph is made is `export.py`. This file is what executors need: onnxruntime and numpy, nothing more.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort

Embed = Callable[[np.ndarray], np.ndarray]


class BackboneError(ValueError):
    """A graph that is not a backbone; the text names the file and what is wrong."""


@dataclass(frozen=True)
class Backbone:
    """A frozen graph.

    Attributes:
        name: in the catalogue.
        path: of the `.onnx` file on the driver.
        digest: SHA-256 of the file; its identity.
        size: side of the square that the graph takes, in pixels.
        dimension: length of the feature vector.
    """

    name: str
    path: str
    digest: str
    size: int
    dimension: int


def open_backbone(path: Path) -> Backbone:
    """Describes a stored graph, from the graph itself.

    Raises:
        FileNotFoundError: where there is no such file.
        BackboneError: where it is damaged, or does not map uint8 `[n, size, size, 3]` to float32 `[n, dimension]`.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if path.stem != digest:
        raise BackboneError(f"{path} is damaged: its name should be its SHA-256, which is {digest}")
    session = _open_session(str(path))
    (pixels,), (features,) = session.get_inputs(), session.get_outputs()
    if pixels.type != "tensor(uint8)" or len(pixels.shape) != 4 or len(features.shape) != 2:
        raise BackboneError(f"{path} takes {pixels.type} {pixels.shape} and gives {features.shape}: not a backbone")
    name = session.get_modelmeta().custom_metadata_map.get("daylight_name", path.stem)
    return Backbone(name, str(path), digest, size=pixels.shape[1], dimension=features.shape[1])


@cache
def load_backbone(path: str) -> Embed:
    """Opens a graph once per process, with one thread: Spark gives a task one core, and ORT would take them all.

    Returns:
        A function from uint8 `[n, size, size, 3]` to float32 `[n, dimension]`.
    """
    session = _open_session(path)
    name = session.get_inputs()[0].name

    def embed(pixels: np.ndarray) -> np.ndarray:
        (features,) = session.run(None, {name: pixels})
        return features

    return embed


def _open_session(path: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
