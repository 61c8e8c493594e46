"""The head as ONNX: the stages of a fitted MLlib pipeline, from features to probabilities and a label.

Operations run in float64, as in MLlib, and exist since opset 7, so they can follow any backbone.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.classification import (
    LinearSVCModel,
    LogisticRegressionModel,
    MultilayerPerceptronClassificationModel,
    NaiveBayesModel,
    OneVsRestModel,
)
from pyspark.ml.feature import IndexToString, Normalizer, StandardScalerModel

from pipeline.training.label_sets.model import find_questions

if TYPE_CHECKING:
    import onnx

PROBABILITIES: Final = "probabilities"
LABEL: Final = "label"
EXACT_HEADS: Final = (LogisticRegressionModel, LinearSVCModel, NaiveBayesModel, MultilayerPerceptronClassificationModel)
"""Heads whose arithmetic ONNX reproduces; `_score` writes it."""
MARGIN_FLOOR: Final = 700.0  # margins are clipped at -700, as in `prediction._probabilities`, so shares never sum to 0
_PREFIX: Final = "head"


@dataclass
class HeadGraph:
    """ONNX operations in the order of computation, and their constants."""

    nodes: list["onnx.NodeProto"] = field(default_factory=list)
    constants: list["onnx.TensorProto"] = field(default_factory=list)

    def do(self, operation: str, *inputs: "str | np.ndarray", output: str = "", **attributes: Any) -> str:
        """Adds an operation on tensors and constants, and returns the name of its result."""
        from onnx import helper

        result = output or f"{_PREFIX}_{len(self.nodes)}"
        names = [each if isinstance(each, str) else self._keep(each) for each in inputs]
        self.nodes.append(helper.make_node(operation, names, [result], f"{_PREFIX}_{operation}_{result}", **attributes))
        return result

    def sum_rows(self, tensor: str, width: int) -> str:
        """Sums every row of `[n, width]` to `[n, 1]`; the axis of ReduceSum moved in opset 13, so MatMul does it."""
        return self.do("MatMul", tensor, np.ones((width, 1)))

    def _keep(self, array: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"{_PREFIX}_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name


def build_head_graph(model: PipelineModel, features: str, dimension: int, temperature: float) -> HeadGraph:
    """Writes the stages between features and label as a graph.

    Args:
        model: result of `fitting.fit_pipeline`, with a head that `refuse_head` accepts.
        features: name of a tensor, float32 `[n, dimension]`.
        dimension: length of a feature vector.
        temperature: temperature T of the calibration: probabilities are p^(1/T), normalized to sum to 1.

    Returns:
        A graph whose last results are `probabilities`, float32 `[n, labels]`, and `label`, strings `[n]`.
    """
    from onnx import TensorProto

    graph = HeadGraph()
    *stages, head, decoder = model.stages
    labels = list(cast("IndexToString", decoder).getLabels())
    vector = graph.do("Cast", features, to=TensorProto.DOUBLE)
    for stage in stages:
        vector = _normalize(graph, stage, vector, dimension)
    scores, shares = _score(graph, head, vector)
    if temperature != 1:
        powers = graph.do("Pow", shares, np.array(1 / temperature))
        shares = graph.do("Div", powers, graph.sum_rows(powers, len(labels)))
    graph.do("Cast", shares, output=PROBABILITIES, to=TensorProto.FLOAT)
    best = graph.do("ArgMax", scores, axis=1, keepdims=0)
    graph.do("Gather", np.array(labels, object), best, output=LABEL, axis=0)
    return graph


def refuse_head(model: PipelineModel) -> str | None:
    """Returns why a head cannot be exported exactly, or None if it can."""
    if find_questions(model):
        return "sets of labels have no ONNX file"
    head = model.stages[-2]
    if isinstance(head, OneVsRestModel):
        head = head.models[0]
    if isinstance(head, LogisticRegressionModel) and head.numClasses == 2 and head.getThreshold() != 0.5:
        return f"its threshold is {head.getThreshold():g}: the label is not the most probable one"
    if isinstance(head, EXACT_HEADS):
        return None
    if hasattr(head, "trees"):
        return f"{type(head).__name__} is made of trees, where the last digit of a feature decides between two leaves"
    return f"{type(head).__name__} has no ONNX export: add it to pipeline/training/graph/head.py"


def _normalize(graph: HeadGraph, stage: Transformer, vector: str, dimension: int) -> str:
    """Keeps a vector of zeros and sets a constant feature to zero, as MLlib does."""
    from onnx import TensorProto

    if isinstance(stage, Normalizer):
        length = graph.do("Sqrt", graph.sum_rows(graph.do("Mul", vector, vector), dimension))
        is_zero = graph.do("Not", graph.do("Cast", length, to=TensorProto.BOOL))
        return graph.do("Div", vector, graph.do("Add", length, graph.do("Cast", is_zero, to=TensorProto.DOUBLE)))
    if isinstance(stage, StandardScalerModel):
        deviations = stage.std.toArray()
        scales = np.divide(1, deviations, out=np.zeros_like(deviations), where=deviations != 0)
        return graph.do("Mul", graph.do("Sub", vector, stage.mean.toArray()), scales)
    return vector


def _score(graph: HeadGraph, head: Transformer, vector: str) -> tuple[str, str]:
    """Writes the scores, whose maximum is the label, and the probabilities, both float64 `[n, labels]`."""
    if isinstance(head, OneVsRestModel):
        margins = [cast("LinearSVCModel", each) for each in head.models]
        weights = np.stack([each.coefficients.toArray() for each in margins])
        scores = _apply_linear(graph, vector, weights, np.array([each.intercept for each in margins]))
        above = graph.do("Relu", graph.do("Add", scores, np.array(MARGIN_FLOOR)))  # Max has no float64 before opset 8
        shares = graph.do("Sigmoid", graph.do("Sub", above, np.array(MARGIN_FLOOR)))
        return scores, graph.do("Div", shares, graph.sum_rows(shares, len(head.models)))
    if isinstance(head, MultilayerPerceptronClassificationModel):
        scores = _run_layers(graph, head, vector)
    elif isinstance(head, NaiveBayesModel):
        scores = _apply_linear(graph, vector, head.theta.toArray(), head.pi.toArray())
    else:
        linear = cast("LogisticRegressionModel", head)
        weights, offsets = linear.coefficientMatrix.toArray(), linear.interceptVector.toArray()
        if len(weights) == 1:  # for two labels, MLlib stores only the margin of the second
            weights, offsets = np.vstack([np.zeros_like(weights), weights]), np.append(0.0, offsets)
        scores = _apply_linear(graph, vector, weights, offsets)
    return scores, graph.do("Softmax", scores, axis=1)


def _run_layers(graph: HeadGraph, head: MultilayerPerceptronClassificationModel, vector: str) -> str:
    """MLlib stores all weights in one vector: per layer the matrix by columns, then the offsets."""
    layers, weights, start = head.getLayers(), head.weights.toArray(), 0
    for number, (taken, given) in enumerate(pairwise(layers)):
        matrix = weights[start : start + taken * given].reshape(taken, given).T
        start += taken * given
        inputs = graph.do("Sigmoid", vector) if number else vector
        vector = _apply_linear(graph, inputs, matrix, weights[start:][:given])
        start += given
    return vector


def _apply_linear(graph: HeadGraph, vector: str, weights: np.ndarray, offsets: np.ndarray) -> str:
    """Multiplies by `[labels, dimension]` weights and adds the offsets."""
    return graph.do("Add", graph.do("MatMul", vector, np.ascontiguousarray(weights.T)), offsets)
