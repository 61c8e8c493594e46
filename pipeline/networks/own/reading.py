"""Readings: the ways to read one vector per image from a graph: at which tensor, and how its values are pooled.

Which reading is used is decided by the user, or by accuracy on labelled images (`pipeline/training/variants.py`).
"""

from math import isqrt
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper

from pipeline.networks.graph_parts import add_initializer
from pipeline.networks.graph_session import GraphError
from pipeline.networks.own.graph_input import describe_shape

CLS: Final = "cls"  # the first token, which some networks train to stand for the image
MEAN: Final = "mean"  # of the tokens of the image's patches
PREFIXES: Final = (0, 1, 2, 5)  # tokens before the patches: none, CLS, CLS and distillation, CLS and four registers
NAME_A_TENSOR: Final = "set DAYLIGHT_FEATURES_TENSOR to a tensor of shape [n, d]"

Step = tuple[str, list[str], dict[str, Any]]  # operation, names of constants, attributes


class Reading(NamedTuple):
    """A tensor, and for tokens `[n, tokens, d]` how they are pooled; maps are averaged."""

    tensor: str
    pooling: str = ""

    @property
    def name(self) -> str:
        """The value of DAYLIGHT_FEATURES_TENSOR that chooses it."""
        return f"{self.tensor}:{self.pooling}" if self.pooling else self.tensor


def split_name(name: str, tensors: set[str]) -> Reading:
    """Parses `Reading.name`, given all tensors, whose own names may contain a colon; a mere tensor has no pooling."""
    tensor, _, pooling = name.rpartition(":")
    return Reading(tensor, pooling) if name not in tensors and pooling in (CLS, MEAN) else Reading(name)


def list_readings(tensor: str, value: np.ndarray) -> list[Reading]:
    """Lists the readings of a tensor, the likeliest first, given its value for one image.

    Raises:
        GraphError: if it is no row, map or tokens of floats.
    """
    if value.dtype.kind != "f":
        raise GraphError(f"gives {value.dtype} at {tensor}, not floats: {NAME_A_TENSOR}")
    if is_row(value.shape):
        return [Reading(tensor)]
    if len(value.shape) == 3 and value.shape[0] == 1:
        return [Reading(tensor, pooling) for pooling in ((CLS, MEAN) if _count_prefix(tensor, value) else (MEAN,))]
    _find_channels(tensor, value)
    return [Reading(tensor)]


def pool(bare: onnx.ModelProto, reading: Reading, value: np.ndarray) -> None:
    """Adds the nodes that make the only output of a graph `[n, d]`, given its value for one image."""
    steps = _choose_steps(bare.graph, reading, value)
    tensor, dtype = bare.graph.output[0].name, value.dtype
    if len(steps) > 1 and dtype != np.float32:  # ONNX Runtime averages float32 only
        steps, dtype = [("Cast", [], {"to": TensorProto.FLOAT}), *steps], np.dtype(np.float32)
    for number, (operation, constants, attributes) in enumerate(steps):
        tensor, source = f"daylight_{operation}_{number}", tensor
        bare.graph.node.append(helper.make_node(operation, [source, *constants], [tensor], **attributes))
    element_type = helper.np_dtype_to_tensor_dtype(dtype)
    bare.graph.output[0].CopyFrom(helper.make_tensor_value_info(tensor, element_type, ["n", count_features(value)]))


def count_features(value: np.ndarray) -> int:
    """The length of the vector that a value for one image, accepted by `list_readings`, is pooled to."""
    if is_row(value.shape):
        return int(value.size)
    return int(value.shape[2] if value.ndim == 3 else value.shape[_find_channels("", value)])


def is_row(shape: tuple[int, ...]) -> bool:
    """Whether the values of an image form one row, such as `[1, d]`, `[1, d, 1, 1]` or `[1, 1, d]`."""
    return len(shape) > 1 and shape[0] == 1 and max(shape[1:]) == np.prod(shape[1:])


def _choose_steps(graph: onnx.GraphProto, reading: Reading, value: np.ndarray) -> list[Step]:
    """The operations from a value `[1, ...]` to `[1, d]`; all of them are the same in every opset."""
    flatten: Step = ("Flatten", [], {})
    if is_row(value.shape):
        return [flatten] if value.ndim > 2 else []
    if reading.pooling == CLS:
        return [("Gather", [add_initializer(graph, "daylight_cls", np.array(0))], {"axis": 1})]
    average: list[Step] = [("GlobalAveragePool", [], {}), flatten]
    if reading.pooling == MEAN:
        prefix, patches = _count_prefix(reading.tensor, value), np.arange(value.shape[1])
        kept = add_initializer(graph, "daylight_patches", patches[prefix:]) if prefix else ""
        gather: list[Step] = [("Gather", [kept], {"axis": 1})] if prefix else []
        return [*gather, ("Transpose", [], {"perm": [0, 2, 1]}), *average]
    is_channels_first = _find_channels(reading.tensor, value) == 1
    return average if is_channels_first else [("Transpose", [], {"perm": [0, 3, 1, 2]}), *average]


def _count_prefix(tensor: str, value: np.ndarray) -> int:
    """The number of tokens `[1, tokens, d]` before those of the patches, which form a square."""
    _, count, last = value.shape
    prefixes = [prefix for prefix in PREFIXES if count > prefix and isqrt(count - prefix) ** 2 == count - prefix]
    if not prefixes and isqrt(last) ** 2 == last:
        raise _refuse(tensor, value, "which cannot be pooled")  # a map of d channels whose positions come last
    return min(prefixes, default=0)


def _find_channels(tensor: str, value: np.ndarray) -> int:
    """The axis of the channels of a map: 1 or 3."""
    if value.ndim != 4 or value.shape[0] != 1:
        raise _refuse(tensor, value, "which cannot be pooled")
    _, first, middle, last = value.shape
    if (first == middle) == (middle == last):
        raise _refuse(tensor, value, "whose channels are ambiguous")
    return 1 if middle == last else 3


def _refuse(tensor: str, value: np.ndarray, reason: str) -> GraphError:
    return GraphError(f"gives {describe_shape(['n', *value.shape[1:]])} at {tensor}, {reason}: {NAME_A_TENSOR}")
