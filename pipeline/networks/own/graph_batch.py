"""Graph batch: a stranger's graph that takes any number of pictures at once, and the proof that it does.

A graph that was exported for one picture is freed of that; one whose pictures disturb each other is refused.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.networks.own.graph_input import GraphInput
from pipeline.networks.subgraph import GraphError, Run, brief, compute_constant, find_varying, open_graph

if TYPE_CHECKING:
    import onnx

MAX_DISTURBANCE: Final = 0.05
"""Of the difference between two pictures: rounding is below a hundredth, mixed pictures are all of it."""


def make_probe(taken: GraphInput) -> np.ndarray:
    """Two pictures of eight by eight fields in their own colours, as `taken` has them: -1 to 1, or bytes."""
    fields = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 3))
    places = np.arange(taken.size) * 8 // taken.size
    pictures = fields[:, places][:, :, places]
    return taken.arrange(pictures * 127.5 + 127.5 if taken.dtype == "uint8" else pictures)


def free_batch(bare: "onnx.ModelProto") -> None:
    """Lets the constant shapes within a graph for one picture follow the batch; its input is declared elsewhere."""
    from onnx import numpy_helper

    varying = find_varying(bare)
    for node in bare.graph.node:
        if node.op_type != "Reshape" or node.input[0] not in varying or node.input[1] in varying:
            continue
        target = compute_constant(bare, node.input[1]).copy()
        if -1 not in target and target.size and target[0] > 0:
            target[0] = -1
        elif target.size and target[0] == 1:
            target[0] = 0
        node.input[1] = f"daylight_shape_of_{node.output[0]}"
        bare.graph.initializer.append(numpy_helper.from_array(target, node.input[1]))


def prove_freed(bare: "onnx.ModelProto", taken: GraphInput, picture: np.ndarray, expected: np.ndarray) -> None:
    """Proves that one picture gets what it got before the graph was freed.

    Raises:
        GraphError: where it does not.
    """
    freed = open_graph(bare)(picture)
    if freed.shape != expected.shape or not np.allclose(freed, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()):
        raise GraphError(_explain(taken, "it gives a picture something else once its shapes are free"))


def prove_independence(run: Run, taken: GraphInput, pictures: np.ndarray) -> None:
    """Proves that two pictures have the same features together as alone.

    Args:
        run: from such pictures to features `[n, d]`.
        taken: what the graph says of its input.
        pictures: two different ones.

    Raises:
        GraphError: where they have not, or the graph cannot take two.
    """
    alone = np.concatenate([run(pictures[:1]), run(pictures[1:])]).astype(np.float64)
    if not np.isfinite(alone).all():
        raise GraphError("gives features that are no finite numbers: export it with other types")
    try:
        together = run(pictures).astype(np.float64)
    except GraphError as error:
        raise GraphError(_explain(taken, brief(error.__cause__ or error))) from error
    allowed = max(MAX_DISTURBANCE * np.abs(alone[0] - alone[1]).max(), 1e-5 * np.abs(alone).max())
    if together.shape != alone.shape or np.abs(together - alone).max() > allowed:
        raise GraphError(_explain(taken, "a picture has other features beside another picture than alone"))


def _explain(taken: GraphInput, reason: str) -> str:
    said = (
        "says that it takes any number of pictures, but cannot"
        if taken.is_batch_free
        else "takes one picture at a time"
    )
    return f"{said} (input {taken.name}; given two: {reason}): export it with a free batch"
