"""The backbone of a deployment: one word of configuration, made into a stored graph once.

A graph is stored under its digest. Beside it, a small file per recipe says which graph was made of it, so that going
back to a former backbone takes no export, and another machine does not make another graph of the same network.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import dagster as dg
from pydantic import Field

from pipeline.backbone import Backbone, BackboneError, load_backbone, open_backbone
from pipeline.golden import TOLERANCES
from pipeline.networks.export import export_backbone
from pipeline.networks.loader import identify_recipe, open_pretrained
from pipeline.networks.pretrained import Pretrained, PretrainedError
from pipeline.networks.quantization import quantize_backbone
from resources.lake import Lake

_open_pretrained: Final = lru_cache(maxsize=1)(open_pretrained)
"""A step exports, and its checks measure, the same network; it takes seconds to build."""


class BackboneCatalogue(dg.ConfigurableResource):
    """Opens and exports the chosen backbone, and any other of the catalogue."""

    name: str = Field(
        default="efficientnet-lite0", description="Name in the catalogue, or path of a user's own (DAYLIGHT_BACKBONE)."
    )
    precision: str = Field(default="fp32", description="Precision of the graph: fp32 or int8 (DAYLIGHT_PRECISION).")
    weights: str = Field(default="", description="File of weights, or folder with one per backbone (DAYLIGHT_WEIGHTS).")
    features_tensor: str = Field(
        default="", description="Of a user's own graph: the tensor to cut at (DAYLIGHT_FEATURES_TENSOR)."
    )
    pixel_scaling: str = Field(
        default="", description="Of a user's own graph: how pixels are scaled (DAYLIGHT_PIXEL_SCALING)."
    )
    lake: Lake = Field(description="Where graphs are stored.")

    def open(self, name: str = "") -> Pretrained:
        """Opens the network of a name, or the chosen one, in its own framework.

        Raises:
            PretrainedError: where it cannot be had; the text says what to do.
        """
        return _open_pretrained(*self._words(name))

    def export(self, name: str = "", precision: str = "", pictures: Sequence[bytes] = ()) -> Backbone:
        """Makes the graph of a network, or finds the one that was made before.

        Args:
            name: in the catalogue, or a path; the chosen one by default.
            precision: `fp32` or `int8`; the chosen one by default.
            pictures: the bytes of pictures to calibrate int8 on, where that was not done before.

        Raises:
            PretrainedError: where the network cannot be had, or int8 was never calibrated; the text says what to do.
        """
        fp32 = self._once(identify_recipe(*self._words(name)), lambda folder: export_backbone(self.open(name), folder))
        precision = precision or self.precision
        _check_precision(precision)
        if precision == "fp32":
            return fp32
        return self._once(f"int8 of {fp32.digest}", lambda folder: _quantize(fp32, pictures, folder))

    def export_all(
        self, names: Sequence[str], precisions: Sequence[str], pictures: Sequence[bytes]
    ) -> Iterator[Backbone]:
        """Makes the graphs of several networks, each in each precision, when they are asked for.

        Arguments and errors are those of `export`; a wrong word is told at once, before the first graph is made.
        """
        for name in names:
            identify_recipe(*self._words(name))
        for precision in precisions:
            _check_precision(precision)
        return (self.export(name, precision, pictures) for name in names for precision in precisions)

    def _words(self, name: str) -> tuple[str, Path | None, str, str]:
        weights = Path(self.weights) if self.weights else None
        return name or self.name, weights, self.features_tensor, self.pixel_scaling

    def _once(self, recipe: str, make: Callable[[Path], Path]) -> Backbone:
        folder = self.lake.models / "backbone"
        note = folder / "recipes" / hashlib.sha256(recipe.encode()).hexdigest()
        if note.exists() and (found := _find_working(folder / f"{note.read_text()}.onnx")):
            return found
        made = open_backbone(make(folder))
        self.lake.write_note(note, made.digest)
        return made


def _find_working(graph: Path) -> Backbone | None:
    """The stored graph; None where it is lost or damaged, or its golden set does not hold on this machine any more."""
    try:
        found = open_backbone(graph)
        load_backbone(found.path)
    except (FileNotFoundError, BackboneError):
        return None
    return found


def _check_precision(precision: str) -> None:
    if precision not in TOLERANCES:
        raise PretrainedError(f"there is no precision {precision!r}: there are {' and '.join(TOLERANCES)}")


def _quantize(fp32: Backbone, pictures: Sequence[bytes], folder: Path) -> Path:
    if not pictures:
        raise PretrainedError(
            f"int8 of {fp32.name} was never calibrated in this lake: launch the job bake_off with it once,"
            " or let DAYLIGHT_PRECISION be fp32"
        )
    return quantize_backbone(fp32, pictures, folder)
