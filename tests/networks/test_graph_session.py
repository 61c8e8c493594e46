"""Graph sessions: ONNX Runtime's errors become sentences; its private exceptions are those of the locked version."""

from importlib.metadata import version

import pytest
from conftest import make_tiny_graph

from pipeline.networks.graph_session import RUNTIME_ERRORS, GraphError, open_graph


def test_the_private_exceptions_are_those_of_onnx_runtime_1_31() -> None:
    assert version("onnxruntime").startswith("1.31."), "read again what its pybind module raises"
    assert {error.__name__ for error in RUNTIME_ERRORS} == {
        "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException",
    }  # fmt: skip
    assert all(issubclass(error, Exception) for error in RUNTIME_ERRORS)


def test_a_graph_that_onnx_runtime_rejects_is_one_sentence() -> None:
    model = make_tiny_graph()
    model.graph.node[0].op_type = "NoSuchOperation"
    with pytest.raises(GraphError, match=r"^cannot be opened by ONNX Runtime \(.+\): export it again$"):
        open_graph(model)
