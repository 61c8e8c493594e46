"""Preprocessor file: what the JSON that hubs put beside an export says about its pixels: scaling and size.

`preprocessor_config.json` is Hugging Face's, `config.json` with a `pretrained_cfg` is timm's.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.networks.graph_session import GraphError
from pipeline.networks.pixel_scaling import RAW, SCALINGS, UNIT, PixelScaling, normalise

NAMES: Final = ("preprocessor_config.json", "config.json")
SIZES: Final = range(16, 2049)  # of images, in pixels; others are no size


@dataclass(frozen=True)
class Preprocessor:
    """What a file says.

    Attributes:
        name: of the file.
        scaling: None if it says nothing.
        size: height and width of images, in pixels; None if it says nothing, or two different numbers.
    """

    name: str
    scaling: PixelScaling | None
    size: int | None


def read_preprocessor(network: Path) -> Preprocessor | None:
    """Reads the file beside a network; None if there is none that says anything.

    Raises:
        GraphError: if it is not JSON, or its numbers cannot be used.
    """
    for file in find_preprocessor(network):
        try:
            found = _read(file.name, json.loads(file.read_text(encoding="utf-8")))
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise GraphError(
                f"cannot be used with {file.name} beside it ({error!r:.80}): correct that file, or move it away"
            ) from error
        if found.scaling or found.size:
            return found
    return None


def find_preprocessor(network: Path) -> list[Path]:
    """The files beside a network that may say how its pixels are scaled."""
    return [file for file in (network.parent / name for name in NAMES) if file.is_file()]


def _read(name: str, stated: Any) -> Preprocessor:
    if not isinstance(stated, Mapping):
        return Preprocessor(name, None, None)
    if timm := stated.get("pretrained_cfg"):
        size = timm.get("input_size", [None, None, None])[1:]
        return Preprocessor(name, _scaling(timm["mean"], timm["std"], 1 / 255), _square(*size))
    if "image_mean" not in stated and "do_normalize" not in stated:
        return Preprocessor(name, None, None)
    rescale = float(stated.get("rescale_factor", 1 / 255)) if stated.get("do_rescale", True) else 1.0
    mean, deviation = (
        (0.0, 1.0) if not stated.get("do_normalize", True) else (stated["image_mean"], stated["image_std"])
    )
    size = stated.get("crop_size") if stated.get("do_center_crop") else None
    return Preprocessor(name, _scaling(mean, deviation, rescale), _size_of(size or stated.get("size")))


def _scaling(mean: Any, deviation: Any, rescale: float) -> PixelScaling:
    """The scaling by its name, where it has one; a single number counts for all channels."""
    means, deviations = (_three(each) for each in (mean, deviation))
    if means == (0, 0, 0) and deviations == (1, 1, 1) and rescale in (1, 1 / 255):
        return RAW if rescale == 1 else UNIT
    numbers = (" ".join(f"{each:g}" for each in triple) for triple in (means, deviations))
    made = normalise("mean {} deviation {}".format(*numbers), means, deviations, rescale)
    same = (each for each in SCALINGS.values() if not each.is_bgr and _is_close(each, made))
    return next(same, made)


def _is_close(one: PixelScaling, other: PixelScaling) -> bool:
    pairs = zip((*one.scale, *one.offset), (*other.scale, *other.offset), strict=True)
    return all(abs(left - right) < 1e-4 * max(abs(left), 1e-2) for left, right in pairs)


def _three(numbers: Any) -> tuple[float, ...]:
    three = tuple(map(float, numbers if isinstance(numbers, list) else [numbers] * 3))
    if len(three) != 3:
        raise ValueError(f"{len(three)} channels instead of 3")
    return three


def _size_of(size: Any) -> int | None:
    if isinstance(size, dict):
        return _square(*(size.get(side, size.get("shortest_edge")) for side in ("height", "width")))
    return _square(size, size)


def _square(height: Any, width: Any) -> int | None:
    return height if isinstance(height, int) and height == width and height in SIZES else None
