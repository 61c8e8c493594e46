"""Export: from a pretrained network to an ONNX file, named by its digest.

The same weights and package versions give the same bytes, whatever the process did before.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from uuid import uuid4

import onnx
from onnx import helper
from onnxruntime import InferenceSession

from pipeline.embed.backbone import FIT, Backbone, embed_with, open_session
from pipeline.embed.batch_size import read_batch_costs
from pipeline.embed.fits import LETTERBOX, Fit
from pipeline.embed.golden_set import KEY, make_golden_set
from pipeline.networks.graph import FEATURES, PIXELS, wrap_graph
from pipeline.networks.known_photos import load_known_photos
from pipeline.networks.parity import Parity
from pipeline.networks.pretrained import Pretrained, PretrainedError
from pipeline.reports.markdown import markdown_table
from pipeline.reports.report import Report

GOLDEN_PHOTOS: Final = 4  # in the golden set; every worker embeds them once
HIDDEN: Final = ("daylight_name", "precision", KEY)  # metadata that the report shows differently or not at all


def export_backbone(pretrained: Pretrained, folder: Path, fit: Fit = LETTERBOX) -> Path:
    """Converts a network and stores it, with how images are fitted to it, as `<folder>/<SHA-256 of the file>.onnx`.

    The graph maps `pixels`, uint8 RGB `[n, size, size, 3]`, to `features`, float32 `[n, d]`, for any n. Its metadata
    hold its provenance and its golden set.

    Raises:
        PretrainedError: if the graph breaks this contract.
        onnx.checker.ValidationError: if an operation of the network could not be converted.
    """
    model = wrap_graph(pretrained.convert(), pretrained.size, pretrained.scaling)
    model.graph.name = pretrained.name
    fitted = {} if fit == LETTERBOX else {FIT: fit.name}
    return store_graph(model, pretrained.name, "fp32", {**pretrained.provenance, **fitted}, folder)


def store_graph(model: onnx.ModelProto, name: str, precision: str, provenance: Mapping[str, str], folder: Path) -> Path:
    """Adds metadata to a complete graph, in place, checks the contract and stores the graph under its digest.

    The precision is `fp32` or `int8`; the provenance holds origin, licence, weights and versions, by name.

    Raises:
        PretrainedError: if the graph breaks the contract of backbones.
        onnx.checker.ValidationError: if it is not valid ONNX.
    """
    metadata = {
        "daylight_name": name,
        "precision": precision,
        "producer": f"{model.producer_name} {model.producer_version}",
        "opset": str(next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))),
        **provenance,
    }
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    session = open_session(model.SerializeToString(deterministic=True))
    size = _check_contract(session, name)
    contents = [photo.content for photo in load_known_photos()[:GOLDEN_PHOTOS]]
    golden = make_golden_set(contents, embed_with(session), size, precision)
    helper.set_model_props(model, metadata | {KEY: golden.to_text()})
    content = model.SerializeToString(deterministic=True)
    path = folder / f"{hashlib.sha256(content).hexdigest()}.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")  # housekeeping removes drafts with such names
    draft.write_bytes(content)
    os.replace(draft, path)
    return path


def describe_backbone(backbone: Backbone, parity: Parity) -> Report:
    """Reports the properties of a graph, its provenance, its parity and the cost of its batch sizes."""
    metadata = open_session(backbone.path).get_modelmeta().custom_metadata_map
    costs = read_batch_costs(Path(backbone.path))
    batches = [[size, f"{each:.2f}"] for size, each in costs.cpu_milliseconds.items()] if costs else []
    return Report(
        numbers={
            "batch_size": backbone.batch_size,
            "megabytes": backbone.megabytes,
            "dimension": backbone.dimension,
            "input_size": backbone.size,
            "smallest_cosine": parity.smallest_cosine,
        },
        texts={
            "name": backbone.name,
            "precision": backbone.precision,
            "fit": backbone.fit,
            "digest": backbone.digest,
            "max_abs_difference": f"{parity.max_abs_difference:.1e}",
            **{key: value for key, value in sorted(metadata.items()) if key not in HIDDEN},
        },
        tables={"batches": markdown_table(["batch", "CPU-ms per image"], batches)} if batches else {},
    )


def _check_contract(session: InferenceSession, name: str) -> int:
    """Checks names, types and shapes of input and output; returns the height and width of images, in pixels."""
    found = [(tensor.name, tensor.type, tensor.shape) for tensor in (*session.get_inputs(), *session.get_outputs())]
    size, dimension = found[0][2][1], found[-1][2][-1]
    required = [(PIXELS, "tensor(uint8)", ["n", size, size, 3]), (FEATURES, "tensor(float)", ["n", dimension])]
    if found != required or not isinstance(dimension, int):
        raise PretrainedError(f"the graph of {name} has the tensors {found}; a backbone needs {required}")
    return int(size)
