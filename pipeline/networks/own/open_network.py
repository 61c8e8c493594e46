"""The user's own network: an `.onnx`, `.keras`, SavedModel or `.tflite` as a pretrained network, or why it cannot be.

Here: what a path is, what is said of it, and its proof against its own framework. Reading is left to `keras_file.py`
and `tensorflow_files.py`, cutting to `graph_cut.py`, and scaling to `scaling_choice.py`.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Final

from pipeline.networks.known_photos import decode_known_photos
from pipeline.networks.own.converted import Converted, measure_conversion
from pipeline.networks.own.graph_cut import Cut, cut_graph
from pipeline.networks.own.keras_file import convert_keras_file
from pipeline.networks.own.onnx_file import name_producer, read_onnx_file
from pipeline.networks.own.scaling_choice import ScalingChoice, choose_scaling
from pipeline.networks.own.tensorflow_files import convert_saved_model, convert_tflite
from pipeline.networks.pixel_scaling import SCALINGS, PixelScaling
from pipeline.networks.pretrained import Pretrained, PretrainedError
from pipeline.networks.subgraph import GraphError, brief

MAX_DIFFERENCE: Final = 1e-3
"""Between a framework and its converted graph, in units of the largest output; float32 alone gives about 1e-6."""

MAX_QUANTISED_DIFFERENCE: Final = 0.1
"""The same of a quantised network: one step of rounding apart is a step of the output."""

KINDS: Final = "the path of an .onnx, .keras or .tflite file, or of the folder of a SavedModel"


def open_own_network(path: Path, features_tensor: str = "", scaling_name: str = "") -> Pretrained:
    """Opens a network of the user's, finds its features, and finds out what it expects of its pixels.

    Args:
        path: an `.onnx`, `.keras` or `.tflite` file, or the folder of a SavedModel.
        features_tensor: the tensor (of a `.keras`, the layer) that gives the features; by default the input of the last
            classifier layer, or the output where there is none.
        scaling_name: one of `SCALINGS`; by default by evidence, or assumed.

    Raises:
        PretrainedError: where it is no network from RGB pictures to features; one sentence, with the path, the reason
            and what to do.
    """
    if scaling_name and scaling_name not in SCALINGS:
        raise PretrainedError(
            f"{path} cannot be given pixels by {scaling_name!r}, which is no scaling that Daylight knows:"
            f" let DAYLIGHT_PIXEL_SCALING be one of {', '.join(SCALINGS)}"
        )
    try:
        return _open(path, features_tensor, scaling_name)
    except GraphError as error:
        raise PretrainedError(f"{path} {error}") from error
    except UnicodeDecodeError as error:  # protobuf decodes a name only where it is read
        raise PretrainedError(f"{path} is damaged, for it holds names that are no text: export it anew") from error


def identify_own_network(path: Path) -> str:
    """SHA-256 of what lies at the path; of a folder, of its files by the order of their names.

    Raises:
        PretrainedError: where it is no network that Daylight reads.
    """
    try:
        _find_kind(path)
        return _digest(path)
    except GraphError as error:
        raise PretrainedError(f"{path} {error}") from error
    except UnicodeDecodeError as error:  # protobuf decodes a name only where it is read
        raise PretrainedError(f"{path} is damaged, for it holds names that are no text: export it anew") from error


def _open(path: Path, features_tensor: str, scaling_name: str) -> Pretrained:
    kind = _find_kind(path)
    digest = _digest(path)
    if kind == ".onnx":
        graph = read_onnx_file(path)
        cut = cut_graph(graph, features_tensor)
        choice = choose_scaling(cut, cut.taken, scaling_name)
        return _describe(path, digest, cut, choice, {"producer": name_producer(graph)})
    converted = _convert(path, kind, features_tensor)
    cut = cut_graph(converted.graph, converted.output if converted.features else features_tensor)
    if converted.features:
        cut = replace(cut, features_tensor=converted.features, last_layer=converted.last_layer)
    choice = choose_scaling(cut, converted.taken, scaling_name, converted.scaling)
    difference = _prove(converted, cut, choice.scaling)
    said = {"producer": converted.producer, "conversion_difference": f"{difference:.1e}"}
    pretrained = _describe(path, digest, cut, choice, said)
    if not converted.features:
        return pretrained
    return replace(pretrained, embed=lambda pixels: converted.compute(choice.scaling.apply(pixels)))


def _describe(path: Path, digest: str, cut: Cut, choice: ScalingChoice, said: dict[str, str]) -> Pretrained:
    size = {"picture_size": f"{cut.taken.size} (assumed: it takes any)"} if cut.taken.is_size_free else {}
    return Pretrained(
        name=path.name,
        size=cut.taken.size,
        scaling=choice.scaling,
        embed=lambda pixels: cut.run(choice.scaling.apply(pixels)),
        convert=lambda: cut.bare,
        last_layer=cut.last_layer if choice.knows_imagenet else None,
        provenance={
            "origin": f"the user's own file {path.name}",
            "licence": "not stated",
            "weights": path.name,
            "weights_sha256": digest,
            "scaling": f"{choice.scaling.name} ({choice.reason})",
            "features_tensor": cut.features_tensor,
            **size,
            **said,
        },
    )


def _find_kind(path: Path) -> str:
    """What a path is: the suffix of its kind, empty for a SavedModel."""
    if not path.exists():
        raise GraphError(f"does not exist: let DAYLIGHT_BACKBONE be {KINDS}")
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return ""
        found = "a folder without saved_model.pb" if any(path.iterdir()) else "an empty folder"
        raise GraphError(f"is {found}, so no SavedModel: let DAYLIGHT_BACKBONE be {KINDS}")
    kind = path.suffix.lower()
    if kind not in (".onnx", ".keras", ".tflite"):
        raise GraphError(f"is of no kind that Daylight reads: let DAYLIGHT_BACKBONE be {KINDS}")
    if not path.stat().st_size:
        raise GraphError(f"is an empty file: let DAYLIGHT_BACKBONE be {KINDS}")
    return kind


def _convert(path: Path, kind: str, features_tensor: str) -> Converted:
    if kind == ".keras":
        return convert_keras_file(path, features_tensor)
    return convert_tflite(path) if kind == ".tflite" else convert_saved_model(path)


def _prove(converted: Converted, cut: Cut, scaling: PixelScaling) -> float:
    """Proves that the converted graph gives what its framework gives on known photos, and says how nearly."""
    difference = measure_conversion(converted, cut.taken, scaling.apply(decode_known_photos(cut.taken.size)))
    quantised = any(node.op_type == "QuantizeLinear" for node in converted.graph.graph.node)
    allowed = MAX_QUANTISED_DIFFERENCE if quantised else MAX_DIFFERENCE
    if not difference <= allowed:
        raise GraphError(
            f"gives other numbers once converted than in {converted.producer} (on known photos up to {difference:.1e}"
            f" of the largest, and {allowed:.0e} is allowed): give it as .onnx"
        )
    return difference


def _digest(path: Path) -> str:
    """SHA-256 of a file; of a folder, of its files by the order of their names."""
    try:
        if path.is_file():
            return hashlib.sha256(path.read_bytes()).hexdigest()
        files = sorted(file for file in path.rglob("*") if file.is_file())
        lines = [
            f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(path).as_posix()}\n" for file in files
        ]
    except OSError as error:
        raise GraphError(f"cannot be read ({brief(error)}): let DAYLIGHT_BACKBONE be {KINDS}") from error
    return hashlib.sha256("".join(lines).encode()).hexdigest()
