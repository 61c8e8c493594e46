"""TensorFlow files: a user's SavedModel or `.tflite`, converted as a whole by tf2onnx.

Keras's own format belongs in `keras_file.py`, cutting the graph in `graph_cut.py`.
"""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from pipeline.networks.graph_session import GraphError, brief
from pipeline.networks.keras_runtime import OPSET, collecting_eagerly
from pipeline.networks.own.converted import FAILURES, Converted, convert, import_tensorflow, read_shape
from pipeline.networks.own.graph_input import recognise_input

SIGNATURE: Final = "serving_default"


def convert_saved_model(folder: Path) -> Converted:
    """Converts the serving signature of a SavedModel, or its only signature.

    Raises:
        GraphError: if TensorFlow cannot load it, tf2onnx cannot convert it, or it is not for RGB images.
    """
    tf = import_tensorflow()
    try:
        loaded = tf.saved_model.load(str(folder))
    except (*FAILURES, DecodeError, tf.errors.OpError) as error:
        raise GraphError(f"cannot be loaded by TensorFlow ({brief(error)}): export it again") from error
    names = [SIGNATURE] if SIGNATURE in loaded.signatures else list(loaded.signatures)
    if len(names) != 1:
        raise GraphError(
            f"has no signature {SIGNATURE} (found: {', '.join(names) or 'none'}): export it with this signature"
        )
    signature = loaded.signatures[names[0]]
    specs = signature.structured_input_signature[1].items()
    graph_input = recognise_input([(name, spec.dtype.name, read_shape(spec.shape)) for name, spec in specs])
    output = min(signature.structured_outputs)

    def compute(scaled: np.ndarray) -> np.ndarray:
        outputs = signature(**{graph_input.name: tf.constant(graph_input.arrange(scaled))})
        return np.asarray(outputs[output])

    graph = convert(lambda: _convert_signature(loaded, signature))
    return Converted(graph, output, compute, graph_input, f"TensorFlow {tf.__version__}")


def convert_tflite(file: Path) -> Converted:
    """Converts a `.tflite` file; quantised networks stay quantised.

    Raises:
        GraphError: if TensorFlow Lite cannot open it, tf2onnx cannot convert it, or it is not for RGB images.
    """
    tf = import_tensorflow()
    import tf2onnx

    interpreter = _open_interpreter(file)
    inputs = interpreter.get_input_details()
    graph_input = recognise_input(
        [(each["name"], np.dtype(each["dtype"]).name, read_shape(each["shape_signature"])) for each in inputs]
    )
    index, output = inputs[0]["index"], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(index, [1, *graph_input.shape[1:]])
    interpreter.allocate_tensors()

    def compute(scaled: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(index, graph_input.arrange(scaled))
        interpreter.invoke()
        value: np.ndarray = interpreter.get_tensor(output["index"])
        return value

    with _without_stderr(), collecting_eagerly():
        graph = convert(lambda: tf2onnx.convert.from_tflite(str(file), opset=OPSET)[0])
    return Converted(graph, output["name"], compute, graph_input, f"TensorFlow Lite {tf.__version__}")


def _convert_signature(loaded: Any, signature: Any) -> onnx.ModelProto:
    import tf2onnx
    from tf2onnx import tf_loader

    inputs = [each.name for each in signature.inputs[: len(signature.inputs) - len(signature.captured_inputs)]]
    outputs = [each.name for each in signature.outputs]
    public_names = [*signature.structured_input_signature[1], *sorted(signature.structured_outputs)]
    frozen, _ = tf_loader.from_trackable(loaded, signature, inputs, outputs, large_model=False)
    with collecting_eagerly():
        graph: onnx.ModelProto = tf2onnx.convert.from_graph_def(
            frozen,
            name="saved_model",
            input_names=inputs,
            output_names=outputs,
            opset=OPSET,
            tensors_to_rename=dict(zip(inputs + outputs, public_names, strict=True)),
        )[0]
    return graph


def _open_interpreter(file: Path) -> Any:
    import tensorflow as tf

    plain = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        with _without_stderr():
            interpreter = tf.lite.Interpreter(model_content=file.read_bytes(), experimental_op_resolver_type=plain)
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise GraphError(f"is not a .tflite file, or is truncated ({brief(error)}): export it again") from error
    return interpreter


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Silences TensorFlow Lite's output from C++ and its notice about moving to another package."""
    saved = os.dup(2)
    with open(os.devnull, "wb") as nowhere, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated", UserWarning)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
