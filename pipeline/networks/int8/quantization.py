"""Quantization: from a stored fp32 graph to its int8 variant, calibrated on the user's own images.

Static, QDQ, uint8 activations and int8 weights per channel, as ONNX Runtime's integer kernels for VNNI need.
"""

import itertools
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime as ort

from pipeline.embed.backbone import Backbone, open_session
from pipeline.embed.fits import FITS
from pipeline.embed.golden_set import KEY
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.embed.pixels import Decoding, decode_pixels
from pipeline.embed.sandbox import SandboxError
from pipeline.networks.export import store_graph
from pipeline.networks.graph_session import INVALID_GRAPH, brief
from pipeline.networks.int8.pixel_cells import put_in_cells
from pipeline.networks.int8.quantized_pixels import align_zero_point, find_quantization, remove_scaling
from pipeline.networks.int8.row_scaling import scale_in_rows
from pipeline.networks.pretrained import PretrainedError
from pipeline.networks.private import RUNTIME_ERRORS, calibrating_on_one_thread

QUANTIZER: Final = 3  # increase it with every change of the quantization that alters the graph of an unchanged network
CALIBRATION_COUNT: Final = 128  # images that determine the ranges of activations
BATCH: Final = 8
RENEWED: Final = ("daylight_name", "precision", "opset", KEY)  # metadata of the fp32 graph that do not hold for int8
FAILURES: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""Errors of ONNX Runtime's quantizer, which is plain Python, on unsupported graphs."""


class QuantizationError(PretrainedError):
    """A network without an int8 variant: no images for calibration, or an unsupported graph."""


def quantize_backbone(
    backbone: Backbone, images: Sequence[bytes], folder: Path, limits: Limits = DEFAULT_LIMITS
) -> Path:
    """Quantizes an fp32 backbone and stores it as `<folder>/<SHA-256 of the file>.onnx`.

    Calibration images that cannot be decoded are left out.

    Raises:
        QuantizationError: if no image can be decoded, the quantizer rejects the graph, or its output breaks the
            contract of backbones.
    """
    try:
        decoded = decode_pixels(images, Decoding(backbone.size, limits, FITS[backbone.fit]))
    except SandboxError as error:
        raise QuantizationError(f"int8 of {backbone.name} cannot be made: {brief(error)}") from error
    pixels = np.array([each for each in decoded if each is not None])
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
    except (*FAILURES, *RUNTIME_ERRORS, *INVALID_GRAPH) as error:
        raise QuantizationError(f"int8 of {backbone.name} cannot be made: {brief(error)}") from error


def _quantize(backbone: Backbone, pixels: np.ndarray) -> onnx.ModelProto:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory() as scratch:
        fused, quantized = Path(scratch, "fused.onnx"), Path(scratch, "quantized.onnx")
        _fold_normalisation(backbone.path, fused)
        model = onnx.load(fused)
        levels = find_quantization(model)
        model = align_zero_point(model, levels) if levels else scale_in_rows(model, backbone.size)
        overrides = levels.override if levels else {}
        onnx.save(model, fused)
        with _quiet_root_logger(), calibrating_on_one_thread():
            quantize_static(
                fused,
                quantized,
                _Reader(pixels),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=_scaling_nodes(model),
                extra_options={"CalibMovingAverage": True, "TensorQuantOverrides": overrides},
            )
        model = onnx.load(quantized)
    model.ClearField("metadata_props")
    return put_in_cells(remove_scaling(model) if levels else model)


def _fold_normalisation(path: str, fused: Path) -> None:
    """Folds batch normalisation into convolutions; otherwise each would be rounded separately."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(fused)
    options.log_severity_level = 3
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class _Reader:
    """Batches of pixels for the quantizer, which calls nothing but `get_next`."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.batches = ({"pixels": pixels[start : start + BATCH]} for start in range(0, len(pixels), BATCH))

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def _scaling_nodes(model: onnx.ModelProto) -> list[str]:
    """The names of the nodes from the pixels to the first layer, which stay in float."""
    scaling = ("Reshape", "Transpose", "Gather", "Cast", "Mul", "Add")
    return [node.name for node in itertools.takewhile(lambda node: node.op_type in scaling, model.graph.node)]


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
