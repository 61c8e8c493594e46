"""Export: from a Keras network to the one ONNX file that Daylight runs, named by its digest.

The same weights and the same versions give the same bytes, whatever the process did before. Keras, tf2onnx and onnx
are imported where they are used: executors import `pipeline` too, and need none of them.
"""

import hashlib
import logging
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import onnxruntime

from pipeline.backbone import Backbone, load_backbone
from pipeline.efficientnet_lite import FEATURE_COUNT, Variant, find_variant, import_keras, load_network
from pipeline.report import Report

if TYPE_CHECKING:
    import keras
    import onnx

OPSET: Final = 17
"""From 18 on, tf2onnx leaves a second Transpose before the mean over the picture."""

ORIGIN: Final = (
    "Google's EfficientNet-Lite trained on ImageNet-1k, ported to PyTorch by ML Illustrated, rebuilt in Keras"
)


@dataclass(frozen=True)
class Parity:
    """How far an ONNX graph is from the Keras network that it was made of.

    Attributes:
        max_abs_difference: between any two features.
        relative_difference: the same, in units of the standard deviation between pictures: a network whose features
            hardly differ from picture to picture has a small difference, and is wrong all the same.
        smallest_cosine: between the two feature vectors of a picture.
    """

    max_abs_difference: float
    relative_difference: float
    smallest_cosine: float


def export_backbone(name: str, folder: Path) -> Path:
    """Builds a backbone of the catalogue, converts it and stores it as `<folder>/<SHA-256 of the file>.onnx`.

    The graph takes `pixels`, uint8 RGB `[n, size, size, 3]`, and gives `features`, float32 `[n, 1280]`; n is free.

    Raises:
        ValueError: where the name is not in the catalogue, the weights are not the published ones, or the graph is not
            the one described here.
        ModuleNotFoundError: where the package of the weights is not installed.
    """
    variant = find_variant(name)
    model = convert_network(load_network(name))
    _describe(model, variant)
    content = model.SerializeToString(deterministic=True)
    _check_contract(content, variant.size)
    path = folder / f"{hashlib.sha256(content).hexdigest()}.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(content)
    os.replace(part, path)
    return path


def convert_network(network: "keras.Model") -> "onnx.ModelProto":
    """Converts the part of a network from its input `pixels` to its output `features`.

    Raises:
        onnx.checker.ValidationError: where tf2onnx cannot convert one of its operations.
    """
    keras = import_keras()
    import onnx
    import tensorflow as tf
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    pixels = network.inputs[0]
    embedder = keras.Model(network.inputs, network.output["features"], name="backbone")
    signature = [tf.TensorSpec(pixels.shape, pixels.dtype, name=pixels.name)]
    model: onnx.ModelProto = tf2onnx.convert.from_keras(embedder, signature, opset=OPSET)[0]
    _rename(model)
    _tidy(model)
    # tf2onnx only logs an operation that it cannot convert, and leaves it in the graph.
    onnx.checker.check_model(model, full_check=True)
    return model


def measure_parity(network: "keras.Model", backbone: Backbone, pixels: np.ndarray) -> Parity:
    """Compares the features of a network and of its graph on the same pictures.

    Args:
        network: as `load_network` makes it.
        backbone: the graph that was made of it.
        pixels: uint8 RGB, `[n, size, size, 3]`; real pictures, of which at least two differ.
    """
    expected = np.asarray(network(pixels, training=False)["features"])
    actual = load_backbone(backbone.path)(pixels)
    difference = float(np.abs(actual - expected).max())
    norms = np.linalg.norm(actual, axis=1) * np.linalg.norm(expected, axis=1)
    return Parity(
        max_abs_difference=difference,
        relative_difference=difference / float(expected.std(axis=0).mean()),
        smallest_cosine=float(((actual * expected).sum(axis=1) / norms).min()),
    )


def _rename(model: "onnx.ModelProto") -> None:
    """Names nodes and tensors by their order, because tf2onnx numbers them by what the process did before."""
    graph = model.graph
    names = {tensor.name: tensor.name for tensor in (*graph.input, *graph.output)} | {"": ""}
    for order, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{order}"
        for tensors in (node.input, node.output):
            tensors[:] = [names.setdefault(tensor, f"tensor_{len(names)}") for tensor in tensors]
    for initializer in graph.initializer:
        initializer.name = names[initializer.name]
    positions = {name: position for position, name in enumerate(names.values())}
    graph.initializer.sort(key=lambda initializer: positions[initializer.name])


def _tidy(model: "onnx.ModelProto") -> None:
    """Names the free dimension, and drops what varies or says nothing."""
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "n"
    for node in model.graph.node:
        node.ClearField("doc_string")
    model.graph.ClearField("doc_string")
    model.graph.ClearField("value_info")
    used = {node.domain for node in model.graph.node}
    opsets = [opset for opset in model.opset_import if opset.domain in used]
    model.ClearField("opset_import")
    model.opset_import.extend(opsets)


def _describe(model: "onnx.ModelProto", variant: Variant) -> None:
    from onnx import helper

    model.graph.name = variant.name
    helper.set_model_props(
        model,
        {
            "daylight_name": variant.name,
            "keras": version("keras"),
            "licence": "Apache-2.0",
            "origin": ORIGIN,
            "tf2onnx": version("tf2onnx"),
            "weights": f"{variant.package} {version(variant.package)}",
            "weights_sha256": variant.sha256,
        },
    )


def _check_contract(content: bytes, size: int) -> None:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = [(tensor.name, tensor.type, tensor.shape) for tensor in (*session.get_inputs(), *session.get_outputs())]
    wanted = [
        ("pixels", "tensor(uint8)", ["n", size, size, 3]),
        ("features", "tensor(float)", ["n", FEATURE_COUNT]),
    ]
    if found != wanted:
        raise ValueError(f"the converted graph has {found}, not {wanted}")


def describe_backbone(backbone: Backbone, parity: Parity) -> Report:
    """What the graph is, where it comes from, and how near it is to its network."""
    path = Path(backbone.path)
    origin = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    return Report(
        numbers={
            "megabytes": path.stat().st_size / 1e6,
            "dimension": backbone.dimension,
            "input_size": backbone.size,
            "smallest_cosine": parity.smallest_cosine,
        },
        texts={
            "name": backbone.name,
            "digest": backbone.digest,
            "max_abs_difference": f"{parity.max_abs_difference:.1e}",
            **{name: origin[name] for name in ("origin", "licence", "weights", "weights_sha256", "keras", "tf2onnx")},
        },
    )
