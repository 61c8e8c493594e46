"""The backbone catalogue of a deployment: exports the configured network to a stored graph, once.

A graph is stored under its digest, and a small file per recipe names it: returning to a former backbone exports
nothing, and another machine reuses the same graph.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Final

import dagster as dg
from pydantic import Field

from pipeline.embed.backbone import Backbone, BackboneError, load_backbone, open_backbone
from pipeline.embed.batch_size import measure_batch_costs, read_batch_costs, sidecar
from pipeline.embed.file_kinds import DECODER
from pipeline.embed.fits import FITS, LETTERBOX
from pipeline.embed.golden_set import TOLERANCES
from pipeline.embed.int8_support import refuse_int8
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.networks.export import export_backbone
from pipeline.networks.int8.quantization import QUANTIZER, QuantizationError, quantize_backbone
from pipeline.networks.known_photos import decode_known_photos
from pipeline.networks.loader import identify_recipe, open_pretrained
from pipeline.networks.parity import Examination, Parity, examine
from pipeline.networks.pretrained import Pretrained, PretrainedError
from pipeline.networks.variant import Variant
from resources.lake.lake import Lake
from resources.lake.model_files import ModelFiles
from resources.models.early_work import await_early, make_early
from resources.models.variants import DEFAULT_VARIANT, Variants

_open_pretrained: Final = lru_cache(maxsize=1)(open_pretrained)  # takes seconds; an asset and its checks share it


class BackboneCatalogue(dg.ConfigurableResource):
    """Opens and exports the configured backbone, or any other."""

    name: str = Field(
        default="efficientnet-lite0", description="Catalogue name or path of a network (DAYLIGHT_BACKBONE)."
    )
    weights: str = Field(default="", description="File of weights, or folder with one per backbone (DAYLIGHT_WEIGHTS).")
    features_tensor: str = Field(
        default="", description="Tensor at which a graph of your own is cut (DAYLIGHT_FEATURES_TENSOR)."
    )
    pixel_scaling: str = Field(
        default="", description="Scaling of the pixels for a graph of your own (DAYLIGHT_PIXEL_SCALING)."
    )
    fit: str = Field(default="auto", description="How images are fitted to the square (DAYLIGHT_FIT).")
    lake: Lake = Field(description="Lake with the graphs.")

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Begins to export the configured network, if it was not and leaves no choice: a run reads its images first."""
        if not self.variants.is_open(self.name):
            make_early(str(self._folder), self._make_early)

    def open(self, name: str = "") -> Pretrained:
        """Opens a network in its own framework, by default the configured one.

        Raises:
            PretrainedError: if it cannot be loaded; the message gives the cure.
        """
        return _open_pretrained(*self._options(name, self._variant(name)))

    @property
    def variants(self) -> Variants:
        """Which reading and fit of a network are in use."""
        return Variants(self.lake.models, self.fit, lambda name: identify_recipe(*self._options(name)))

    def list_readings(self) -> tuple[str, ...]:
        """The readings between which the configured network leaves a choice, the likeliest first."""
        return _open_pretrained(*self._options()).readings

    def export(
        self,
        name: str = "",
        precision: str = "fp32",
        calibration: Sequence[bytes] = (),
        limits: Limits = DEFAULT_LIMITS,
        variant: Variant | None = None,
    ) -> Backbone:
        """Exports the graph of a network, or finds the stored one; its batch size is measured once.

        Args:
            name: catalogue name or path; by default the configured one.
            precision: `fp32` or `int8`.
            calibration: bytes of the images to calibrate int8 on, if that was not done before.
            limits: limits for one of them.
            variant: reading and fit; by default those that are in use.

        Raises:
            PretrainedError: if the network cannot be loaded, or int8 not made or run; the message gives the cure.
        """
        check_precision(precision)
        used = variant or self._variant(name)
        fp32 = self._once(self._recipe(name, used), lambda folder: self._export(name, used, folder))
        if precision == "fp32":
            return fp32
        return self._once(_int8_recipe(fp32), lambda folder: _quantize(fp32, calibration, folder, limits))

    def find_int8(self, fp32: Backbone) -> Backbone | None:
        """Finds the int8 variant of a graph, if it is stored and works on this machine."""
        return self._find(_int8_recipe(fp32))

    def examine(self, backbone: Backbone) -> Examination:
        """Compares a graph of the configured network with that network, once: opening it takes seconds."""
        examined = f"{identify_recipe(*self._options('', self._variant('')))} {DECODER} {backbone.digest}"
        file = self._folder / "examinations" / f"{hashlib.sha256(examined.encode()).hexdigest()}.json"
        if found := self._files.read_json(file):
            return Examination(Parity(**found["parity"]), found["is_correct"])
        made = examine(backbone, self.open())
        self._files.write_note(file, json.dumps(asdict(made), indent=2))
        return made

    def export_all(
        self,
        names: Sequence[str],
        precisions: Sequence[str],
        calibration: Sequence[bytes],
        limits: Limits = DEFAULT_LIMITS,
    ) -> Iterator[Backbone]:
        """Exports the graphs of several networks, each in each precision, lazily.

        Arguments and errors are those of `export`; invalid ones raise at once, before the first graph is made.
        """
        for name in names:
            identify_recipe(*self._options(name))
        for each in precisions:
            check_precision(each)
        return (self.export(name, precision, calibration, limits) for name in names for precision in precisions)

    def _options(self, name: str = "", variant: Variant = DEFAULT_VARIANT) -> tuple[str, Path | None, str, str]:
        weights = Path(self.weights) if self.weights else None
        return name or self.name, weights, variant.features_tensor or self.features_tensor, self.pixel_scaling

    def _variant(self, name: str) -> Variant:
        return self.variants.find(name or self.name)

    def _export(self, name: str, variant: Variant, folder: Path) -> Path:
        dg.get_dagster_logger().info(f"exporting {name or self.name} to ONNX, once for this lake")
        return export_backbone(_open_pretrained(*self._options(name, variant)), folder, FITS[variant.fit])

    def _recipe(self, name: str = "", variant: Variant = DEFAULT_VARIANT) -> str:
        fit = "" if variant.fit == LETTERBOX.name else variant.fit
        return identify_recipe(*self._options(name, variant)) + fit

    def _make_early(self) -> None:
        if not self._files.read_note(self._note(self._recipe())):
            self._make(self._recipe(), lambda folder: self._export("", self._variant(""), folder))

    def _once(self, recipe: str, make: Callable[[Path], Path]) -> Backbone:
        await_early(str(self._folder))
        return self._find(recipe) or self._with_batch_size(self._make(recipe, make))

    def _make(self, recipe: str, make: Callable[[Path], Path]) -> Backbone:
        made = open_backbone(make(self._folder))
        self._files.publish(Path(made.path))
        self._files.write_note(self._note(recipe), made.digest)
        return made

    def _find(self, recipe: str) -> Backbone | None:
        digest = self._files.read_note(self._note(recipe))
        found = _find_working(self._files.fetch(self._folder / f"{digest}.onnx")) if digest else None
        return self._with_batch_size(found) if found else None

    def _with_batch_size(self, backbone: Backbone) -> Backbone:
        """Measures the batch size of a graph that was not measured yet."""
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
    """Opens a stored graph; None if it is missing, damaged, or fails its golden set on this machine."""
    try:
        found = open_backbone(graph)
        load_backbone(found.path)
    except (FileNotFoundError, BackboneError):
        return None
    return found


def check_precision(precision: str) -> None:
    """Raises PretrainedError if a precision does not exist or this machine does not support it."""
    if precision not in TOLERANCES:
        raise PretrainedError(f"there is no precision {precision!r}: the precisions are {' and '.join(TOLERANCES)}")
    if precision == "int8" and (objection := refuse_int8()):
        raise PretrainedError(f"{objection}; set DAYLIGHT_PRECISION to fp32 or auto, or leave int8 out of the bake-off")


def _int8_recipe(fp32: Backbone) -> str:
    return f"int8 {QUANTIZER} of {fp32.digest}"


def _quantize(fp32: Backbone, calibration: Sequence[bytes], folder: Path, limits: Limits) -> Path:
    if not calibration:
        raise QuantizationError(
            f"int8 of {fp32.name} is calibrated on labelled images, and there are none: put some into"
            " DAYLIGHT_TRAINING and materialize training_images, or set DAYLIGHT_PRECISION=fp32"
        )
    dg.get_dagster_logger().info(f"making int8 of {fp32.name}, calibrated on {len(calibration)} images")
    return quantize_backbone(fp32, calibration, folder, limits)
