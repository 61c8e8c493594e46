"""Graph sessions: ONNX Runtime's errors become sentences; its private exceptions are those of the locked version."""

from importlib.metadata import version
from pathlib import Path

import onnx
import pytest
from conftest import make_tiny_graph
from onnxruntime import GraphOptimizationLevel
from onnxruntime.quantization.calibrate import CalibraterBase

from pipeline.networks.graph_session import RUNTIME_ERRORS, GraphError, open_graph
from pipeline.networks.private import calibrating_on_one_thread


def test_the_private_exceptions_are_those_of_onnx_runtime_1_31() -> None:
    assert version("onnxruntime").startswith("1.31."), "read again what its pybind module raises"
    assert {error.__name__ for error in RUNTIME_ERRORS} == {
        "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException",
    }  # fmt: skip
    assert all(issubclass(error, Exception) for error in RUNTIME_ERRORS)


def test_the_quantizer_of_onnx_runtime_1_31_calibrates_on_one_thread(tmp_path: Path) -> None:
    onnx.save(make_tiny_graph(), tmp_path / "tiny.onnx")
    calibrater = CalibraterBase(tmp_path / "tiny.onnx", augmented_model_path=str(tmp_path / "tiny.onnx"))
    given = CalibraterBase.create_inference_session
    with calibrating_on_one_thread():
        calibrater.set_execution_providers()
    options = calibrater.infer_session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.graph_optimization_level == GraphOptimizationLevel.ORT_DISABLE_ALL
    assert CalibraterBase.create_inference_session is given


def test_a_graph_that_onnx_runtime_rejects_is_one_sentence() -> None:
    model = make_tiny_graph()
    model.graph.node[0].op_type = "NoSuchOperation"
    with pytest.raises(GraphError, match=r"^cannot be opened by ONNX Runtime \(.+\): export it again$"):
        open_graph(model)
