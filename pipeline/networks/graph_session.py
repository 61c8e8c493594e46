"""Graph sessions: running an untrusted ONNX graph in ONNX Runtime, with every refusal as one kind of error."""

import re
from collections.abc import Callable
from typing import Final

import numpy as np
import onnx
import onnxruntime

from pipeline.embed.backbone import open_session
from pipeline.networks.graph_parts import prune_graph, read_initializers
from pipeline.networks.private import RUNTIME_ERRORS

Run = Callable[..., np.ndarray]

INVALID_GRAPH: Final = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError)  # errors of its checker
FATAL: Final = 4  # minimum severity to log; errors are raised and need no log line


class GraphError(ValueError):
    """A graph that cannot become a backbone; the message continues a sentence that begins with the file's path."""


def open_graph(model: onnx.ModelProto) -> Run:
    """Opens a graph with one thread.

    Returns:
        A function from the graph's inputs, by position, to its only output. It raises GraphError if ONNX Runtime
        rejects the inputs.

    Raises:
        GraphError: if ONNX Runtime rejects the graph.
    """
    run_options = onnxruntime.RunOptions()
    run_options.log_severity_level = FATAL
    try:
        session = open_session(model.SerializeToString(), FATAL)
    except RUNTIME_ERRORS as error:
        raise GraphError(f"cannot be opened by ONNX Runtime ({brief(error)}): export it again") from error
    names = [each.name for each in session.get_inputs()]

    def run(*arrays: np.ndarray) -> np.ndarray:
        try:
            (value,) = session.run(None, dict(zip(names, arrays, strict=True)), run_options)
        except RUNTIME_ERRORS as error:
            raise GraphError(f"cannot be run by ONNX Runtime ({brief(error)}): export it again") from error
        return np.asarray(value)

    return run


def compute_constant(model: onnx.ModelProto, tensor: str) -> np.ndarray:
    """The value of a tensor that depends on no input, such as a dequantized kernel.

    Raises:
        GraphError: if ONNX Runtime cannot compute it.
    """
    constants = read_initializers(model.graph, [tensor])
    return constants[tensor] if constants else open_graph(prune_graph(model, tensor))()


def brief(error: BaseException) -> str:
    """The first sentence of an error message, on one line and at most 160 characters long."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip())
    sentence = " ".join(re.split(r"\.\s|\n\s*\n|==>", text, maxsplit=1)[0].split()).rstrip(".")
    return sentence if len(sentence) <= 160 else f"{sentence[:160]} …"
