"""The end-to-end graph: backbone, head and calibration in one ONNX file to deploy.

Input: uint8 `pixels [n, size, size, 3]`, fitted as for the backbone. Outputs: `probabilities`, float32 `[n, labels]`,
and `label`, strings `[n]`. The operations of the head are `head.py`, its comparison with MLlib `parity.py`.
"""

import json
from dataclasses import replace
from importlib.metadata import version

from pipeline.embed.backbone import Backbone, embed_with, open_session
from pipeline.embed.golden_set import KEY, make_golden_set, read_golden_set
from pipeline.training.classifier import Classifier
from pipeline.training.graph.head import LABEL, PROBABILITIES, build_head_graph, refuse_head


class GraphError(ValueError):
    """A classifier without an end-to-end graph; the message gives the reason."""


def add_graph(classifier: Classifier, backbone: Backbone) -> Classifier:
    """Adds the end-to-end graph to a classifier, if its head can be exported."""
    return classifier if refuse_head(classifier.model) else replace(classifier, graph=build_graph(backbone, classifier))


def build_graph(backbone: Backbone, classifier: Classifier) -> bytes:
    """Appends the head of a classifier to its backbone, in one ONNX file.

    The metadata are those of the backbone with `labels` in the order of the probabilities (JSON), `classifier`
    (version), `backbone` (digest), `size`, `temperature`, `daylight` (version) and a golden set for this graph.

    Raises:
        GraphError: if the head cannot be exported, or the classifier reads features of another backbone.
        onnx.checker.ValidationError: if the result is not valid ONNX.
    """
    import onnx
    from onnx import TensorProto, helper

    if reason := refuse_head(classifier.model):
        raise GraphError(f"the classifier {classifier.version} cannot be exported: {reason}")
    if classifier.backbone != backbone.digest:
        raise GraphError(
            f"the classifier expects features of {classifier.backbone}, but the backbone is {backbone.digest}:"
            " materialize training_features"
        )
    model, temperature = onnx.load(backbone.path), float(classifier.calibration.temperature)
    head = build_head_graph(classifier.model, model.graph.output[0].name, backbone.dimension, temperature)
    model.graph.node.extend(head.nodes)
    model.graph.initializer.extend(head.constants)
    del model.graph.output[:]
    outputs = ((PROBABILITIES, TensorProto.FLOAT, ["n", len(classifier.labels)]), (LABEL, TensorProto.STRING, ["n"]))
    model.graph.output.extend(helper.make_tensor_value_info(*output) for output in outputs)
    metadata = {each.key: each.value for each in model.metadata_props} | {
        "labels": json.dumps(classifier.labels, ensure_ascii=False),
        "classifier": classifier.version,
        "backbone": backbone.digest,
        "size": str(backbone.size),
        "temperature": repr(temperature),
        "daylight": version("daylight"),
    }
    contents = read_golden_set(metadata.pop(KEY)).contents
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    embed = embed_with(open_session(model.SerializeToString(deterministic=True)))
    golden = make_golden_set(contents, embed, backbone.size, backbone.precision)
    helper.set_model_props(model, metadata | {KEY: golden.to_text()})
    return model.SerializeToString(deterministic=True)
