"""Quantization: from a stored fp32 graph to its int8 variant, calibrated on the user's own images.

Static, QDQ, uint8 activations and int8 weights per channel, as ONNX Runtime's integer kernels for VNNI need.
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
from pipeline.networks.graph_session import brief
from pipeline.networks.int8.pixel_cells import put_in_cells
from pipeline.networks.int8.quantized_pixels import align_zero_point, find_quantization, remove_scaling
from pipeline.networks.int8.row_scaling import scale_in_rows
from pipeline.networks.pretrained import PretrainedError
from pipeline.networks.private import RUNTIME_ERRORS

if TYPE_CHECKING:
    import onnx

QUANTIZER: Final = 3
"""Version of the quantization; increase it with every change that alters the graph of an unchanged network."""

CALIBRATION_COUNT: Final = 128
"""Images that determine the ranges of activations."""

BATCH: Final = 8

RENEWED: Final = ("daylight_name", "precision", "opset", KEY)
"""Metadata of the fp32 graph that do not hold for int8."""

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
"""Errors of ONNX Runtime's quantizer, which is plain Python, on unsupported graphs."""


class QuantizationError(PretrainedError):
    """A network without an int8 variant: no images for calibration, or an unsupported graph."""


def quantize_backbone(backbone: Backbone, images: Sequence[bytes], folder: Path) -> Path:
    """Quantizes a graph and stores it as `<folder>/<SHA-256 of the file>.onnx`.

    Args:
        backbone: fp32 backbone.
        images: bytes of the calibration images; those that cannot be decoded are left out.
        folder: folder of the stored graphs.

    Raises:
        QuantizationError: if no image can be decoded, the quantizer rejects the graph, or its output breaks the
            contract of backbones.
    """
    import onnx

    try:
        harmless = keep_harmless(images, backbone)
    except SandboxError as error:
        raise QuantizationError(f"int8 of {backbone.name} cannot be made: {brief(error)}") from error
    pixels = np.array([decode(each, backbone.size).pixels for each in harmless])
    if not len(pixels):
        raise QuantizationError(
            f"int8 of {backbone.name} cannot be calibrated: none of {len(images)} images can be decoded"
        )
    metadata = open_session(backbone.path).get_modelmeta().custom_metadata_map
    provenance = {key: value for key, value in metadata.items() if key not in RENEWED}
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
        _fold_normalisation(backbone.path, fused)
        model = onnx.load(fused)
        pixel_quantization = find_quantization(model)
        if pixel_quantization:
            model = align_zero_point(model, pixel_quantization)
        else:
            model = scale_in_rows(model, backbone.size)
        overrides = pixel_quantization.override if pixel_quantization else {}
        onnx.save(model, fused)
        with _quiet_root_logger():
            quantize_static(
                fused,
                quantized,
                _make_reader(pixels),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=_scaling_nodes(model),
                extra_options={"CalibMovingAverage": True, "TensorQuantOverrides": overrides},
            )
        model = onnx.load(quantized)
    model.ClearField("metadata_props")
    return put_in_cells(remove_scaling(model) if pixel_quantization else model)


def _fold_normalisation(path: str, fused: Path) -> None:
    """Folds batch normalisation into convolutions; otherwise each would be rounded separately."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(fused)
    options.log_severity_level = 3
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _make_reader(pixels: np.ndarray) -> object:
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
    """The names of the nodes from the pixels to the first layer, which stay in float."""
    names: list[str] = []
    for node in model.graph.node:
        if node.op_type not in ("Reshape", "Transpose", "Gather", "Cast", "Mul", "Add"):
            break
        names.append(node.name)
    return names


@contextmanager
def _quiet_root_logger() -> Iterator[None]:
    """Keeps the quantizer's advice, which is already followed here, off the root logger."""
    root, silent = logging.getLogger(), logging.NullHandler()  # without a handler, the first warning installs one

    def is_error(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    root.addHandler(silent)
    root.addFilter(is_error)
    try:
        yield
    finally:
        root.removeFilter(is_error)
        root.removeHandler(silent)
