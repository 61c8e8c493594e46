"""Graph batch: makes a user-supplied graph take any number of images at once, and checks that it does.

A graph exported for a batch of one gets a free batch; a graph whose images affect each other is rejected.
"""

from typing import Final

import numpy as np
import onnx

from pipeline.networks.graph_parts import add_initializer, find_varying
from pipeline.networks.graph_session import GraphError, Run, brief, compute_constant, open_graph
from pipeline.networks.own.graph_input import GraphInput

MAX_INTERFERENCE: Final = 0.05
"""Limit as a share of the difference between two images. Rounding stays below 0.01; mixed images reach 1."""


def make_probe(graph_input: GraphInput) -> np.ndarray:
    """Two images of eight by eight random colours in the layout of an input: -1 to 1, or bytes."""
    fields = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 3))
    positions = np.arange(graph_input.size) * 8 // graph_input.size
    images = fields[:, positions][:, :, positions]
    return graph_input.arrange(images * 127.5 + 127.5 if graph_input.dtype == "uint8" else images)


def free_batch(bare: onnx.ModelProto) -> None:
    """Makes the constant shapes inside a graph for one image follow the batch; the input is declared elsewhere."""
    varying = find_varying(bare)
    for node in bare.graph.node:
        if node.op_type != "Reshape" or node.input[0] not in varying or node.input[1] in varying:
            continue
        target = compute_constant(bare, node.input[1]).copy()
        if -1 not in target and target.size and target[0] > 0:
            target[0] = -1
        elif target.size and target[0] == 1:
            target[0] = 0
        node.input[1] = add_initializer(bare.graph, f"daylight_shape_of_{node.output[0]}", target)


def check_freed(bare: onnx.ModelProto, graph_input: GraphInput, image: np.ndarray, expected: np.ndarray) -> None:
    """Raises GraphError if a graph with a free batch gives one image other features than before."""
    freed = open_graph(bare)(image)
    if freed.shape != expected.shape or not np.allclose(freed, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()):
        raise GraphError(_explain(graph_input, "with a free batch an image gets other features"))


def check_independence(run: Run, graph_input: GraphInput, images: np.ndarray) -> None:
    """Checks that two different images have the same features `[n, d]` together as alone.

    Raises:
        GraphError: if they differ, or the graph cannot take two images.
    """
    alone = np.concatenate([run(images[:1]), run(images[1:])]).astype(np.float64)
    if not np.isfinite(alone).all():
        raise GraphError("gives features that are not finite: export it with other types")
    try:
        together = run(images).astype(np.float64)
    except GraphError as error:
        raise GraphError(_explain(graph_input, brief(error.__cause__ or error))) from error
    allowed = max(MAX_INTERFERENCE * np.abs(alone[0] - alone[1]).max(), 1e-5 * np.abs(alone).max())
    if together.shape != alone.shape or np.abs(together - alone).max() > allowed:
        raise GraphError(_explain(graph_input, "an image has other features beside another image than alone"))


def _explain(graph_input: GraphInput, reason: str) -> str:
    free = "declares a free batch but does not support one"
    fault = free if graph_input.is_batch_free else "takes one image at a time"
    return f"{fault} (input {graph_input.name}, with two images: {reason}): export it with a free batch"
