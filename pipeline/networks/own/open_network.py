"""The user's own network: opens an `.onnx`, `.keras`, SavedModel or `.tflite`, or rejects it with the reason.

Dispatch by kind, provenance and the check against the framework belong here; reading in `onnx_file.py`,
`keras_file.py` and `tensorflow_files.py`, cutting in `graph_cut.py`, scaling in `scaling_choice.py`, what a hub says
about an export in `preprocessor_file.py`.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from pipeline.networks.graph_session import GraphError, brief
from pipeline.networks.known_photos import decode_known_photos
from pipeline.networks.own.converted import Converted, measure_conversion
from pipeline.networks.own.graph_cut import Cut, cut_graph
from pipeline.networks.own.keras_file import convert_keras_file
from pipeline.networks.own.onnx_file import find_external_data, name_producer, read_onnx_file
from pipeline.networks.own.preprocessor_file import find_preprocessor, read_preprocessor
from pipeline.networks.own.scaling_choice import ScalingChoice, choose_scaling
from pipeline.networks.own.tensorflow_files import convert_saved_model, convert_tflite
from pipeline.networks.pixel_scaling import PixelScaling, parse_scaling
from pipeline.networks.pretrained import Pretrained, PretrainedError

MAX_DIFFERENCE: Final = 1e-3
"""Limit between a framework and its converted graph, relative to the largest output; rounding gives about 1e-6."""

MAX_QUANTISED_DIFFERENCE: Final = 0.1  # the same for a quantised network: one rounding step is a step of the output
KINDS: Final = "the path of an .onnx, .keras or .tflite file, or of the folder of a SavedModel"


def open_own_network(path: Path, features_tensor: str = "", scaling_name: str = "") -> Pretrained:
    """Opens a user's network, finds its features and determines its pixel scaling.

    Args:
        path: an `.onnx`, `.keras` or `.tflite` file, or the folder of a SavedModel.
        features_tensor: tensor of the features, in a `.keras` the layer, or one of `Pretrained.readings`; by default
            the input of the last classifier layer, or the output if there is none.
        scaling_name: scaling for `parse_scaling`; by default the one that a file beside it states, or chosen by
            evidence, or assumed.

    Raises:
        PretrainedError: if it is not a network from RGB images to features; the message is one sentence with the path,
            the reason and the cure.
    """
    try:
        scaling = parse_scaling(scaling_name) if scaling_name else None
    except ValueError as error:
        raise PretrainedError(f"{path} cannot be used with DAYLIGHT_PIXEL_SCALING: {error}") from error
    with _naming(path):
        return _open(path, features_tensor, scaling)


def identify_own_network(path: Path) -> str:
    """SHA-256 of a file with its weights, or of a folder's files in the order of their names, and of what hubs say.

    Raises:
        PretrainedError: if it is of no supported kind.
    """
    with _naming(path):
        _find_kind(path)
        return " ".join(_digest(each) for each in (path, *find_preprocessor(path)))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turns errors about a graph into sentences that begin with its path."""
    try:
        yield
    except GraphError as error:
        raise PretrainedError(f"{path} {error}") from error
    except UnicodeDecodeError as error:  # protobuf decodes names late
        raise PretrainedError(f"{path} is damaged, because it has names that are not text: export it again") from error


def _open(path: Path, features_tensor: str, scaling: PixelScaling | None) -> Pretrained:
    kind, digest, preprocessor = _find_kind(path), _digest(path), read_preprocessor(path)
    stated = (scaling, "as set") if scaling else None
    if preprocessor and preprocessor.scaling and not stated:
        stated = (preprocessor.scaling, f"as {preprocessor.name} says")
    if kind == ".onnx":
        graph = read_onnx_file(path)
        cut = cut_graph(graph, features_tensor, preprocessor.size if preprocessor else None)
        choice = choose_scaling(cut, cut.input, stated)
        return _describe(path, digest, cut, choice, {"producer": name_producer(graph)})
    if kind == ".keras":
        converted = convert_keras_file(path, features_tensor)
    else:
        converted = convert_tflite(path) if kind == ".tflite" else convert_saved_model(path)
    cut = cut_graph(converted.graph, converted.output if converted.features else features_tensor)
    if converted.features:
        cut = replace(cut, features_tensor=converted.features, readings=(), last_layer=converted.last_layer)
    choice = choose_scaling(cut, converted.input, stated, converted.scaling)
    difference = _check_conversion(converted, cut, choice.scaling)
    metadata = {"producer": converted.producer, "conversion_difference": f"{difference:.1e}"}
    pretrained = _describe(path, digest, cut, choice, metadata)
    if converted.features:
        return replace(pretrained, embed=lambda pixels: converted.compute(choice.scaling.apply(pixels)))
    return pretrained


def _describe(path: Path, digest: str, cut: Cut, choice: ScalingChoice, metadata: dict[str, str]) -> Pretrained:
    size = {"picture_size": f"{cut.input.size} (it declares none)"} if cut.input.is_size_free else {}
    return Pretrained(
        name=path.name,
        size=cut.input.size,
        scaling=choice.scaling,
        embed=lambda pixels: cut.run(choice.scaling.apply(pixels)),
        convert=lambda: cut.bare,
        last_layer=cut.last_layer if choice.is_imagenet else None,
        readings=cut.readings,
        provenance={
            "origin": f"the user's own file {path.name}",
            "licence": "not stated",
            "weights": path.name,
            "weights_sha256": digest,
            "scaling": f"{choice.scaling.name} ({choice.reason})",
            "features_tensor": cut.features_tensor,
            **size,
            **metadata,
        },
    )


def _find_kind(path: Path) -> str:
    """The kind of a path: its suffix, empty for a SavedModel."""
    if not path.exists():
        raise GraphError(f"does not exist: set DAYLIGHT_BACKBONE to {KINDS}")
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return ""
        found = "a folder without saved_model.pb" if any(path.iterdir()) else "an empty folder"
        raise GraphError(f"is {found}, not a SavedModel: set DAYLIGHT_BACKBONE to {KINDS}")
    kind = path.suffix.lower()
    if kind not in (".onnx", ".keras", ".tflite"):
        raise GraphError(f"is of an unsupported kind: set DAYLIGHT_BACKBONE to {KINDS}")
    if not path.stat().st_size:
        raise GraphError(f"is an empty file: set DAYLIGHT_BACKBONE to {KINDS}")
    return kind


def _check_conversion(converted: Converted, cut: Cut, scaling: PixelScaling) -> float:
    """Checks that the converted graph matches its framework on known photos, and returns the difference."""
    difference = measure_conversion(converted, cut.input, scaling.apply(decode_known_photos(cut.input.size)))
    quantised = any(node.op_type == "QuantizeLinear" for node in converted.graph.graph.node)
    allowed = MAX_QUANTISED_DIFFERENCE if quantised else MAX_DIFFERENCE
    if not difference <= allowed:
        raise GraphError(
            f"gives other results after conversion than in {converted.producer} (on known photos up to"
            f" {difference:.1e} of the largest, allowed {allowed:.0e}): supply it as .onnx"
        )
    return difference


def _digest(path: Path) -> str:
    """SHA-256 of a file, with its external data if there is any, or of a folder's files in the order of their names."""
    try:
        beside = find_external_data(path) if path.suffix.lower() == ".onnx" else []
        if path.is_file() and not beside:
            return _hash(path)
        whole = hashlib.sha256()
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path, *beside]
        folder = path if path.is_dir() else path.parent
        for file in files:
            whole.update(f"{_hash(file)}  {file.relative_to(folder).as_posix()}\n".encode())
        return whole.hexdigest()
    except OSError as error:
        raise GraphError(f"cannot be read ({brief(error)}): set DAYLIGHT_BACKBONE to {KINDS}") from error


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
