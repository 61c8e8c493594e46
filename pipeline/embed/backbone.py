"""The backbone: a frozen ONNX graph from uint8 pixels to a feature vector. Its export is `networks/export.py`."""

import hashlib
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort

from pipeline.embed.batch_size import DEFAULT, read_batch_costs
from pipeline.embed.fits import LETTERBOX
from pipeline.embed.golden_set import KEY, describe_worker, read_golden_set
from pipeline.embed.int8_support import refuse_int8

FIT: Final = "fit"  # in the metadata of a graph, unless it is letterbox

Embed = Callable[[np.ndarray], np.ndarray]


class BackboneError(ValueError):
    """A graph that is not a valid backbone; the text names the file and the problem."""


@dataclass(frozen=True)
class Backbone:
    """A frozen graph.

    Attributes:
        name: name in the catalogue, or of the user's file.
        path: path of the `.onnx` file on the driver.
        digest: SHA-256 of the file; identifies the backbone.
        size: side of the square input, in pixels.
        dimension: length of the feature vector.
        precision: `fp32` or `int8`.
        batch_size: images per call, measured when the graph was stored (`batch_size.py`).
        fit: how images are fitted to the square, a key in `fits.FITS`.
    """

    name: str
    path: str
    digest: str
    size: int
    dimension: int
    precision: str = "fp32"
    batch_size: int = DEFAULT
    fit: str = LETTERBOX.name

    @property
    def megabytes(self) -> float:
        """Size of the file in MB."""
        return Path(self.path).stat().st_size / 1e6


def open_backbone(path: Path) -> Backbone:
    """Reads the description of a stored graph from its metadata.

    Raises:
        FileNotFoundError: if there is no such file.
        BackboneError: if it is damaged, or does not map uint8 `[n, size, size, 3]` to `[n, dimension]`.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if path.stem != digest:
        raise BackboneError(f"{path} is damaged: its name should be its SHA-256, which is {digest}")
    session = open_session(path)
    (pixels,), (features, *_) = session.get_inputs(), session.get_outputs()
    if pixels.type != "tensor(uint8)" or len(pixels.shape) != 4 or len(features.shape) != 2:
        raise BackboneError(f"{path} takes {pixels.type} {pixels.shape} and gives {features.shape}: not a backbone")
    metadata, costs = session.get_modelmeta().custom_metadata_map, read_batch_costs(path)
    return Backbone(
        name=metadata.get("daylight_name", path.stem),
        path=str(path),
        digest=digest,
        size=pixels.shape[1],
        dimension=features.shape[1],
        precision=metadata.get("precision", "fp32"),
        batch_size=costs.batch_size if costs else DEFAULT,
        fit=metadata.get(FIT, LETTERBOX.name),
    )


@cache
def load_backbone(path: str) -> Embed:
    """Opens a graph once per process and checks on its golden set that this process computes the exporter's features.

    Returns:
        A function from uint8 `[n, size, size, 3]` to float32 `[n, dimension]`.

    Raises:
        BackboneError: if the features of the golden set differ by more than its tolerance, if there is no golden set,
            or if the graph is int8 and the processor lacks 8-bit dot products.
    """
    session = open_session(path)
    embed = embed_with(session)
    metadata = session.get_modelmeta().custom_metadata_map
    if metadata.get("precision") == "int8" and (reason := refuse_int8()):
        raise BackboneError(
            f"{platform.node()}: {reason}; set DAYLIGHT_PRECISION=fp32, since auto checks the driver alone"
        )
    golden = metadata.get(KEY)
    if golden is None:
        raise BackboneError(f"{path} has no golden set: materialize backbone again")
    golden_set = read_golden_set(golden)
    difference = golden_set.difference(embed, session.get_inputs()[0].shape[1])
    if not difference <= golden_set.tolerance:
        raise BackboneError(
            f"{describe_worker()} produces different features from the machine that exported {Path(path).name}"
            f" (relative difference {difference:.1e}, tolerance {golden_set.tolerance:.0e}). Use the same package"
            " versions and processor type on all workers, or export the backbone on one of them"
        )
    return embed


def embed_with(session: ort.InferenceSession) -> Embed:
    """Wraps a session as a function from pixels to its first output, the features."""
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name

    def embed(pixels: np.ndarray) -> np.ndarray:
        (features,) = session.run([output], {name: pixels})
        return features

    return embed


def open_session(model: str | Path | bytes, log_severity: int = 3) -> ort.InferenceSession:
    """Opens a graph with one thread: Spark gives a task one core, while ONNX Runtime would use all."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = log_severity
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
