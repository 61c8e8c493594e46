"""The head as a graph: the stages of a fitted MLlib pipeline as ONNX operations, in float64 as MLlib computes them.

From features to probabilities and a label. What stands before it, and the file, is `fused.py`. Only operations that
opset 7 has, and ONNX Runtime computes in float64, so that they fit behind any backbone.
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

if TYPE_CHECKING:
    import onnx

PROBABILITIES: Final = "probabilities"
LABEL: Final = "label"

LEAST_MARGIN: Final = 700.0
"""Below 0: as `classifier.predict` has it, so that shares of one-vs-rest never add up to 0."""

_PREFIX: Final = "head"


@dataclass
class HeadGraph:
    """Operations in the order in which they are computed, and their constants.

    Attributes:
        nodes: of ONNX.
        constants: of ONNX.
    """

    nodes: list["onnx.NodeProto"] = field(default_factory=list)
    constants: list["onnx.TensorProto"] = field(default_factory=list)

    def do(self, operation: str, *inputs: "str | np.ndarray", output: str = "", **attributes: Any) -> str:
        """Adds an operation on tensors and constants, and gives the name of its result."""
        from onnx import helper

        result = output or f"{_PREFIX}_{len(self.nodes)}"
        names = [each if isinstance(each, str) else self._keep(each) for each in inputs]
        self.nodes.append(helper.make_node(operation, names, [result], f"{_PREFIX}_{operation}_{result}", **attributes))
        return result

    def sum_rows(self, tensor: str, width: int) -> str:
        """The sum of every row of `[n, width]`, as `[n, 1]`; ReduceSum takes its axis otherwise before opset 13."""
        return self.do("MatMul", tensor, np.ones((width, 1)))

    def _keep(self, array: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"{_PREFIX}_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name


def build_head_graph(model: PipelineModel, features: str, dimension: int, temperature: float) -> HeadGraph:
    """Writes the stages between features and label as a graph.

    Args:
        model: of `fitting.fit_pipeline`, with a head that `refuse_head` does not refuse.
        features: name of a tensor, float32 `[n, dimension]`.
        dimension: length of a vector of features.
        temperature: of the calibration: probabilities are p^(1/T), made to add up to 1.

    Returns:
        Its last results are `probabilities`, float32 `[n, labels]`, and `label`, strings `[n]`.
    """
    from onnx import TensorProto

    graph = HeadGraph()
    *stages, head, answer = model.stages
    labels = list(cast("IndexToString", answer).getLabels())
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
    """Why no graph gives the very answers of a head; None where one does."""
    head = model.stages[-2]
    if isinstance(head, OneVsRestModel):
        head = head.models[0]
    if isinstance(head, LogisticRegressionModel) and head.numClasses == 2 and head.getThreshold() != 0.5:
        return f"its threshold is {head.getThreshold():g}: the label is not the most probable one"
    if isinstance(
        head, LogisticRegressionModel | LinearSVCModel | NaiveBayesModel | MultilayerPerceptronClassificationModel
    ):
        return None
    return f"{type(head).__name__} is made of trees, where the last digit of a feature chooses another leaf"


def _normalize(graph: HeadGraph, stage: Transformer, vector: str, dimension: int) -> str:
    """A vector of zeros stays one, and a feature that never varies is left out, as MLlib has it."""
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
    """The scores whose largest is the label, and the probabilities: float64 `[n, labels]`."""
    if isinstance(head, OneVsRestModel):
        margins = [cast("LinearSVCModel", each) for each in head.models]
        weights = np.stack([each.coefficients.toArray() for each in margins])
        scores = _weigh(graph, vector, weights, np.array([each.intercept for each in margins]))
        above = graph.do("Relu", graph.do("Add", scores, np.array(LEAST_MARGIN)))  # Max is not in float64 before 8
        shares = graph.do("Sigmoid", graph.do("Sub", above, np.array(LEAST_MARGIN)))
        return scores, graph.do("Div", shares, graph.sum_rows(shares, len(head.models)))
    if isinstance(head, MultilayerPerceptronClassificationModel):
        scores = _run_layers(graph, head, vector)
    elif isinstance(head, NaiveBayesModel):
        scores = _weigh(graph, vector, head.theta.toArray(), head.pi.toArray())
    else:
        linear = cast("LogisticRegressionModel", head)
        weights, offsets = linear.coefficientMatrix.toArray(), linear.interceptVector.toArray()
        if len(weights) == 1:  # of two labels, MLlib keeps the margin of the second
            weights, offsets = np.vstack([np.zeros_like(weights), weights]), np.append(0.0, offsets)
        scores = _weigh(graph, vector, weights, offsets)
    return scores, graph.do("Softmax", scores, axis=1)


def _run_layers(graph: HeadGraph, head: MultilayerPerceptronClassificationModel, vector: str) -> str:
    """MLlib keeps all weights in one vector: of every layer its matrix by columns, and then its offsets."""
    layers, weights, start = head.getLayers(), head.weights.toArray(), 0
    for number, (taken, given) in enumerate(pairwise(layers)):
        matrix = weights[start : start + taken * given].reshape(taken, given).T
        start += taken * given
        vector = _weigh(graph, vector if not number else graph.do("Sigmoid", vector), matrix, weights[start:][:given])
        start += given
    return vector


def _weigh(graph: HeadGraph, vector: str, weights: np.ndarray, offsets: np.ndarray) -> str:
    """Weights are `[labels, d]`."""
    return graph.do("Add", graph.do("MatMul", vector, np.ascontiguousarray(weights.T)), offsets)
