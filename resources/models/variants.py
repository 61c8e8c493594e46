"""The variants in use: which reading and fit of each network, as configured, or as `precision_measurement` recorded.

A choice is recorded once per network, so that a growing training set never changes the backbone by itself. Choosing is
`pipeline/training/variants.py`.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.embed.fits import FITS
from pipeline.networks.catalogue.backbones import CATALOGUE
from pipeline.networks.variant import Variant
from pipeline.training.variants import VariantChoice
from resources.lake.model_files import ModelFiles

DEFAULT_VARIANT: Final = Variant()
AUTO: Final = "auto"


@dataclass(frozen=True)
class Variants:
    """The records of a lake.

    Attributes:
        files: model files of the lake.
        fit: a key in `FITS`, `measured`, or `auto`, which measures for a user's own network.
        identify: function from the name of a network to its recipe.
    """

    files: ModelFiles
    fit: str
    identify: Callable[[str], str]

    @property
    def fits(self) -> tuple[str, ...]:
        """The fits between which a network leaves a choice, where it leaves one."""
        return (self.fit,) if self.fit in FITS else tuple(FITS)

    def is_open(self, name: str) -> bool:
        """Whether a network may leave a choice: those of the catalogue are letterboxed and read as they are."""
        return name not in CATALOGUE or self.fit not in (AUTO, *FITS)

    def find(self, name: str) -> Variant:
        """The variant in use; before a choice is recorded, the likeliest one."""
        recorded = self.recall(name)
        return recorded.variant if recorded else Variant(fit=self.fits[0])

    def recall(self, name: str) -> VariantChoice | None:
        """Reads the recorded choice; None if there is none."""
        stored = self.files.read_json(self._file(name)) if self.is_open(name) else None
        if not stored:
            return None
        accuracies = {Variant(*variant): accuracy for variant, accuracy in stored["accuracies"]}
        return VariantChoice(Variant(*stored["variant"]), accuracies)

    def keep(self, name: str, choice: VariantChoice) -> None:
        """Records the choice for a network."""
        stored = {"variant": choice.variant, "accuracies": list(choice.accuracies.items())}
        self.files.write_note(self._file(name), json.dumps(stored, indent=2))

    def _file(self, name: str) -> Path:
        asked = f"{self.identify(name)} {self.fit}"
        return self.files.folder / "backbone" / "variants" / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"
