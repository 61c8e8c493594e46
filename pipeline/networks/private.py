"""Private APIs of ONNX Runtime, all in this file, for the version it names. No other module exports its errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

if TYPE_CHECKING:
    from onnxruntime.quantization.calibrate import CalibraterBase

ONNXRUNTIME_VERSION: Final = "1.31.1"  # that this file was checked against

RUNTIME_ERRORS: Final = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NotImplemented,
    runtime.RuntimeException,
)
"""Errors that ONNX Runtime raises for a graph it cannot load or run."""


@contextmanager
def calibrating_on_one_thread() -> Iterator[None]:
    """Lets the quantizer calibrate on one thread; its own session has one per core, which wait in a loop for work."""
    from onnxruntime.quantization.calibrate import CalibraterBase

    def create(calibrater: "CalibraterBase") -> None:
        options = SessionOptions()
        options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        providers = calibrater.execution_providers
        calibrater.infer_session = InferenceSession(calibrater.augmented_model_path, options, providers)

    given = CalibraterBase.create_inference_session
    CalibraterBase.create_inference_session = create
    try:
        yield
    finally:
        CalibraterBase.create_inference_session = given
