"""TensorFlow files: a user's SavedModel or `.tflite`, converted as a whole by tf2onnx.

Keras's own format is `keras_file.py`; where the graph is cut is `graph_cut.py`.
"""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.networks.keras_runtime import OPSET, collecting_eagerly, import_keras
from pipeline.networks.own.converted import (
    FRAMEWORK_ERRORS,
    Converted,
    check_conversion,
    quieten_conversion,
    recognise_only_input,
)
from pipeline.networks.subgraph import GraphError, brief

if TYPE_CHECKING:
    import onnx

SIGNATURE: Final = "serving_default"


def convert_saved_model(folder: Path) -> Converted:
    """Converts the serving signature of a SavedModel, or its only one.

    Raises:
        GraphError: where TensorFlow cannot load it, tf2onnx cannot convert it, or it is not for RGB pictures.
    """
    import_keras()
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    quieten_conversion()
    try:
        loaded = tf.saved_model.load(str(folder))
    except (*FRAMEWORK_ERRORS, DecodeError, tf.errors.OpError) as error:
        raise GraphError(f"cannot be loaded by TensorFlow ({brief(error)}): export it anew") from error
    names = [SIGNATURE] if SIGNATURE in loaded.signatures else list(loaded.signatures)
    if len(names) != 1:
        raise GraphError(f"has no signature {SIGNATURE} (but: {', '.join(names) or 'none'}): export it with that one")
    signature = loaded.signatures[names[0]]
    specs = signature.structured_input_signature[1]
    taken = recognise_only_input([(name, spec.dtype.name, spec.shape) for name, spec in specs.items()])
    output = min(signature.structured_outputs)

    def compute(scaled: np.ndarray) -> np.ndarray:
        outputs = signature(**{taken.name: tf.constant(taken.arrange(scaled))})
        return np.asarray(outputs[output])

    return Converted(_convert_signature(loaded, signature), output, compute, taken, f"TensorFlow {tf.__version__}")


def convert_tflite(file: Path) -> Converted:
    """Converts a `.tflite` file; one that is quantised stays so.

    Raises:
        GraphError: where TensorFlow Lite cannot open it, tf2onnx cannot convert it, or it is not for RGB pictures.
    """
    import_keras()
    import tensorflow as tf
    import tf2onnx

    quieten_conversion()
    interpreter = _open_interpreter(file)
    inputs = interpreter.get_input_details()
    taken = recognise_only_input(
        [(each["name"], np.dtype(each["dtype"]).name, each["shape_signature"]) for each in inputs]
    )
    index, output = inputs[0]["index"], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(index, [1, *taken.shape[1:]])
    interpreter.allocate_tensors()

    def compute(scaled: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(index, taken.arrange(scaled))
        interpreter.invoke()
        value: np.ndarray = interpreter.get_tensor(output["index"])
        return value

    try:
        with _without_stderr(), collecting_eagerly():
            graph = tf2onnx.convert.from_tflite(str(file), opset=OPSET)[0]
    except FRAMEWORK_ERRORS as error:
        raise GraphError(f"cannot be converted by tf2onnx ({brief(error)}): give it as .onnx") from error
    return Converted(check_conversion(graph), output["name"], compute, taken, f"TensorFlow Lite {tf.__version__}")


def _convert_signature(loaded: Any, signature: Any) -> "onnx.ModelProto":
    import tensorflow as tf
    import tf2onnx
    from tf2onnx import tf_loader

    inputs = [each.name for each in signature.inputs[: len(signature.inputs) - len(signature.captured_inputs)]]
    outputs = [each.name for each in signature.outputs]
    try:
        frozen, _ = tf_loader.from_trackable(loaded, signature, inputs, outputs, large_model=False)
        with collecting_eagerly():
            graph = tf2onnx.convert.from_graph_def(
                frozen,
                name="saved_model",
                input_names=inputs,
                output_names=outputs,
                opset=OPSET,
                tensors_to_rename=dict(zip(inputs, signature.structured_input_signature[1], strict=True))
                | dict(zip(outputs, sorted(signature.structured_outputs), strict=True)),
            )[0]
    except (*FRAMEWORK_ERRORS, tf.errors.OpError) as error:
        raise GraphError(f"cannot be converted by tf2onnx ({brief(error)}): give it as .onnx") from error
    return check_conversion(graph)


def _open_interpreter(file: Path) -> Any:
    import tensorflow as tf

    plain = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        with _without_stderr():
            interpreter = tf.lite.Interpreter(model_content=file.read_bytes(), experimental_op_resolver_type=plain)
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise GraphError(f"is no .tflite file, or a truncated one ({brief(error)}): export it anew") from error
    return interpreter


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Silences what TensorFlow Lite prints from C++, and its notice that it will move to another package."""
    saved = os.dup(2)
    with open(os.devnull, "wb") as nowhere, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated", UserWarning)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
