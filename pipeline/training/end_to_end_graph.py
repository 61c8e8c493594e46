"""The fused graph: backbone, head and calibration in one ONNX file, the one file to deploy.

In go letterboxed uint8 `pixels [n, size, size, 3]`, out come `probabilities`, float32 `[n, labels]`, and `label`,
strings `[n]`. How the head becomes operations is `head_graph.py`; whether the file answers alike, `fused_parity.py`.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from pipeline.embed.backbone import Backbone, embed_with, open_session
from pipeline.embed.golden_set import KEY, make_golden_set, read_golden_set
from pipeline.training.classifier import Classifier
from pipeline.training.head_graph import LABEL, PROBABILITIES, build_head_graph, refuse_head


class GraphError(ValueError):
    """A graph that cannot be fused; the text says what does not fit."""


def refuse_graph(classifier: Classifier) -> str | None:
    """Why there is no fused graph of a classifier; None where there is one."""
    return refuse_head(classifier.model)


def add_graph(classifier: Classifier, backbone: Backbone) -> Classifier:
    """The same classifier with its fused graph, where its head has one."""
    return classifier if refuse_graph(classifier) else replace(classifier, graph=build_graph(backbone, classifier))


def build_graph(backbone: Backbone, classifier: Classifier) -> bytes:
    """Puts the head of a classifier behind its backbone, in one file of ONNX.

    Its metadata hold `labels` in the order of the probabilities (JSON), `classifier` (version), `backbone` (digest),
    `size`, `temperature`, `daylight` (version), what the backbone's say, and a golden set of its own.

    Raises:
        GraphError: where the head has no graph, or the classifier takes features of another backbone.
        onnx.checker.ValidationError: where the whole is not valid ONNX.
    """
    import onnx
    from onnx import TensorProto, helper

    if reason := refuse_graph(classifier):
        raise GraphError(f"the classifier {classifier.version} cannot be exported: {reason}")
    if classifier.backbone != backbone.digest:
        raise GraphError(
            f"the classifier takes features of {classifier.backbone}, and the backbone is {backbone.digest}:"
            " materialize training_features anew"
        )
    model, temperature = onnx.load(backbone.path), _temperature(classifier.report)
    head = build_head_graph(classifier.model, model.graph.output[0].name, backbone.dimension, temperature)
    model.graph.node.extend(head.nodes)
    model.graph.initializer.extend(head.constants)
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, ["n", len(classifier.labels)])
    )
    model.graph.output.append(helper.make_tensor_value_info(LABEL, TensorProto.STRING, ["n"]))
    former = {each.key: each.value for each in model.metadata_props}
    said = former | {
        "labels": json.dumps(classifier.labels, ensure_ascii=False),
        "classifier": classifier.version,
        "backbone": backbone.digest,
        "size": str(backbone.size),
        "temperature": repr(temperature),
        "daylight": version("daylight"),
    }
    contents = read_golden_set(said.pop(KEY)).contents
    helper.set_model_props(model, said)
    onnx.checker.check_model(model, full_check=True)
    embed = embed_with(open_session(model.SerializeToString(deterministic=True)))
    golden = make_golden_set(contents, embed, backbone.size, backbone.precision)
    helper.set_model_props(model, said | {KEY: golden.to_text()})
    return model.SerializeToString(deterministic=True)


def _temperature(report: Mapping[str, Any]) -> float:
    return float((report.get("calibration") or {}).get("temperature", 1.0))
