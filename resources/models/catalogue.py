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

from pipeline.embed.backbone import Backbone, BackboneError, load_backbone, open_backbone
from pipeline.embed.batch_size import measure_batch_costs, read_batch_costs, sidecar
from pipeline.embed.golden_set import TOLERANCES
from pipeline.embed.int8_support import refuse_int8
from pipeline.networks.export import export_backbone
from pipeline.networks.int8.quantization import QUANTIZER, QuantizationError, quantize_backbone
from pipeline.networks.known_photos import decode_known_photos
from pipeline.networks.loader import identify_recipe, open_pretrained
from pipeline.networks.pretrained import Pretrained, PretrainedError
from resources.lake.lake import Lake
from resources.lake.model_files import ModelFiles

_open_pretrained: Final = lru_cache(maxsize=1)(open_pretrained)
"""A step exports, and its checks measure, the same network; it takes seconds to build."""


class BackboneCatalogue(dg.ConfigurableResource):
    """Opens and exports the chosen backbone, and any other of the catalogue."""

    name: str = Field(
        default="efficientnet-lite0", description="Name in the catalogue, or path of a user's own (DAYLIGHT_BACKBONE)."
    )
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

    def export(self, name: str = "", precision: str = "fp32", pictures: Sequence[bytes] = ()) -> Backbone:
        """Makes the graph of a network, or finds the one that was made before; its batch size is measured once.

        Args:
            name: in the catalogue, or a path; the chosen one by default.
            precision: `fp32` or `int8`.
            pictures: the bytes of pictures to calibrate int8 on, where that was not done before.

        Raises:
            PretrainedError: where the network cannot be had, or int8 cannot be made or run; the text says what to do.
        """
        check_precision(precision)
        fp32 = self._once(identify_recipe(*self._words(name)), lambda folder: self._export(name, folder))
        if precision == "fp32":
            return fp32
        return self._once(_int8_recipe(fp32), lambda folder: _quantize(fp32, pictures, folder))

    def find_int8(self, fp32: Backbone) -> Backbone | None:
        """The int8 twin of a graph, if it was made before and works here."""
        return self._find(_int8_recipe(fp32))

    def export_all(
        self, names: Sequence[str], precisions: Sequence[str], pictures: Sequence[bytes]
    ) -> Iterator[Backbone]:
        """Makes the graphs of several networks, each in each precision, when they are asked for.

        Arguments and errors are those of `export`; a wrong word is told at once, before the first graph is made.
        """
        for name in names:
            identify_recipe(*self._words(name))
        for precision in precisions:
            check_precision(precision)
        return (self.export(name, precision, pictures) for name in names for precision in precisions)

    def _words(self, name: str) -> tuple[str, Path | None, str, str]:
        weights = Path(self.weights) if self.weights else None
        return name or self.name, weights, self.features_tensor, self.pixel_scaling

    def _export(self, name: str, folder: Path) -> Path:
        dg.get_dagster_logger().info(f"exporting {name or self.name} to ONNX, once for this lake")
        return export_backbone(self.open(name), folder)

    def _once(self, recipe: str, make: Callable[[Path], Path]) -> Backbone:
        found = self._find(recipe)
        if found:
            return found
        made = open_backbone(make(self._folder))
        self._files.publish(Path(made.path))
        self._files.write_note(self._note(recipe), made.digest)
        return self._with_batch_size(made)

    def _find(self, recipe: str) -> Backbone | None:
        digest = self._files.read_note(self._note(recipe))
        found = _find_working(self._files.fetch(self._folder / f"{digest}.onnx")) if digest else None
        return self._with_batch_size(found) if found else None

    def _with_batch_size(self, backbone: Backbone) -> Backbone:
        """The same graph, measured where nobody did, or where it was copied without what was found."""
        graph = Path(backbone.path)
        self._files.fetch(sidecar(graph))
        if read_batch_costs(graph) is None:
            costs = measure_batch_costs(load_backbone(backbone.path), decode_known_photos(backbone.size))
            self._files.write_note(sidecar(graph), costs.to_text())
        return open_backbone(graph)

    @property
    def _files(self) -> ModelFiles:
        return self.lake.models

    @property
    def _folder(self) -> Path:
        return self._files.folder / "backbone"

    def _note(self, recipe: str) -> Path:
        return self._folder / "recipes" / hashlib.sha256(recipe.encode()).hexdigest()


def _find_working(graph: Path) -> Backbone | None:
    """The stored graph; None where it is lost or damaged, or its golden set does not hold on this machine any more."""
    try:
        found = open_backbone(graph)
        load_backbone(found.path)
    except (FileNotFoundError, BackboneError):
        return None
    return found


def check_precision(precision: str) -> None:
    """Refuses a precision that does not exist, or that this machine is not made for.

    Raises:
        PretrainedError: in words.
    """
    if precision not in TOLERANCES:
        raise PretrainedError(f"there is no precision {precision!r}: there are {' and '.join(TOLERANCES)}")
    if precision == "int8" and (objection := refuse_int8()):
        raise PretrainedError(f"{objection}; let DAYLIGHT_PRECISION be fp32 or auto, or leave int8 out of the bake-off")


def _int8_recipe(fp32: Backbone) -> str:
    return f"int8 {QUANTIZER} of {fp32.digest}"


def _quantize(fp32: Backbone, pictures: Sequence[bytes], folder: Path) -> Path:
    if not pictures:
        raise QuantizationError(
            f"int8 of {fp32.name} is calibrated on labelled pictures, and there are none: put some into"
            " DAYLIGHT_TRAINING and materialize training_images, or let DAYLIGHT_PRECISION be fp32"
        )
    dg.get_dagster_logger().info(f"making int8 of {fp32.name}, calibrated on {len(pictures)} pictures")
    return quantize_backbone(fp32, pictures, folder)
