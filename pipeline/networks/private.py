"""Private APIs of ONNX Runtime, all in this file, for the version it names. No other module exports its errors."""

from typing import Final

from onnxruntime.capi import onnxruntime_pybind11_state as runtime

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
