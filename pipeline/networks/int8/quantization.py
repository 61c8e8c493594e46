"""Quantization: from a stored fp32 graph to its int8 twin, calibrated on pictures of the user's own.

Static, QDQ, uint8 activations and int8 weights per channel: what ONNX Runtime's integer kernels for VNNI take.
onnx is imported where it is used: executors import `pipeline` too, and do not need it.
"""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import onnxruntime as ort

from pipeline.embed.backbone import Backbone, open_session
from pipeline.embed.decode import decode
from pipeline.embed.golden_set import KEY
from pipeline.embed.sandbox import SandboxError, keep_harmless
from pipeline.networks.export import store_graph
from pipeline.networks.int8.pixel_cells import put_in_cells
from pipeline.networks.int8.quantized_pixels import find_quantization, move_onto_zero_point, take_pixels
from pipeline.networks.int8.row_scaling import scale_in_rows
from pipeline.networks.pretrained import PretrainedError
from pipeline.networks.subgraph import RUNTIME_ERRORS, brief

if TYPE_CHECKING:
    import onnx

QUANTIZER: Final = 3
"""Counted up with every change here that gives another graph of the same network."""

CALIBRATION_COUNT: Final = 128
"""Pictures whose activations say the ranges."""

BATCH: Final = 8

QUANTIZER_ERRORS: Final = (
    *RUNTIME_ERRORS,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What ONNX Runtime's quantizer, which is plain Python, raises where it meets what it does not know in a graph."""


class QuantizationError(PretrainedError):
    """A network that has no int8 twin: nothing to calibrate on, or a graph that the quantizer does not take."""


def quantize_backbone(backbone: Backbone, pictures: Sequence[bytes], folder: Path) -> Path:
    """Quantizes a graph and stores it as `<folder>/<SHA-256 of the file>.onnx`.

    Args:
        backbone: in fp32.
        pictures: the bytes of pictures to calibrate on; those that cannot be decoded are left out.
        folder: where graphs are stored.

    Raises:
        QuantizationError: where no picture can be decoded, the quantizer does not take the graph, or what it makes does
            not keep the contract of every backbone.
    """
    import onnx

    try:
        harmless = keep_harmless(pictures, backbone)
    except SandboxError as error:
        raise QuantizationError(f"int8 of {backbone.name} cannot be made: {brief(error)}") from error
    pixels = np.array([decode(each, backbone.size).pixels for each in harmless])
    if not len(pixels):
        raise QuantizationError(
            f"int8 of {backbone.name} cannot be calibrated: none of {len(pictures)} pictures is one"
        )
    said = open_session(backbone.path).get_modelmeta().custom_metadata_map
    provenance = {key: value for key, value in said.items() if key not in ("daylight_name", "precision", "opset", KEY)}
    provenance["calibration"] = f"{len(pixels)} pictures, mean of the extremes of every {BATCH}"
    provenance["fp32"] = backbone.digest
    try:
        return store_graph(_quantize(backbone, pixels), backbone.name, "int8", provenance, folder)
    except (*QUANTIZER_ERRORS, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise QuantizationError(f"int8 of {backbone.name} cannot be made: {brief(error)}") from error


def _quantize(backbone: Backbone, pixels: np.ndarray) -> "onnx.ModelProto":
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory() as scratch:
        fused, quantized = Path(scratch, "fused.onnx"), Path(scratch, "quantized.onnx")
        _fuse(backbone.path, fused)
        model = onnx.load(fused)
        alike = find_quantization(model)
        model = move_onto_zero_point(model, alike) if alike else scale_in_rows(model, backbone.size)
        onnx.save(model, fused)
        with _quiet_root_logger():
            quantize_static(
                fused,
                quantized,
                _reader(pixels),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=_scaling_nodes(model),
                extra_options={"CalibMovingAverage": True, "TensorQuantOverrides": alike.override if alike else {}},
            )
        model = onnx.load(quantized)
    model.ClearField("metadata_props")
    return put_in_cells(take_pixels(model) if alike else model)


def _fuse(path: str, fused: Path) -> None:
    """Folds normalisations into their convolutions: left apart, each would be rounded on its own."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(fused)
    options.log_severity_level = 3
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _reader(pixels: np.ndarray) -> object:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            starts = range(0, len(pixels), BATCH)
            self.batches: Iterator[dict[str, np.ndarray]] = (
                {"pixels": pixels[start : start + BATCH]} for start in starts
            )

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.batches, None)

    return Reader()


def _scaling_nodes(model: "onnx.ModelProto") -> list[str]:
    """The nodes from the pixels to the first layer, which stay in float."""
    names: list[str] = []
    for node in model.graph.node:
        if node.op_type not in ("Reshape", "Transpose", "Gather", "Cast", "Mul", "Add"):
            break
        names.append(node.name)
    return names


@contextmanager
def _quiet_root_logger() -> Iterator[None]:
    """Keeps the quantizer's advice, to do what is done here already, off the root logger."""
    root, silent = logging.getLogger(), logging.NullHandler()  # without any handler, a first warning would install one

    def is_grave(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    root.addHandler(silent)
    root.addFilter(is_grave)
    try:
        yield
    finally:
        root.removeFilter(is_grave)
        root.removeHandler(silent)
