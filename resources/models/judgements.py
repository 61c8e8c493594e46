"""Results of bake-offs, one small file per backbone and training set, so that nothing is measured twice."""

import json
from dataclasses import asdict
from pathlib import Path

import dagster as dg
from pydantic import Field

from pipeline.training.contenders import Contender
from resources.lake.lake import Lake


class Judgements(dg.ConfigurableResource):
    """Results of all bake-offs, by training."""

    lake: Lake = Field(description="Lake with the results.")

    def recall(self, training: str) -> Contender | None:
        """Reads the result of a backbone with these images and this search; None if there is none."""
        stored = self.lake.models.read_json(self._file(training))
        return Contender(**stored) if stored else None

    def keep(self, contender: Contender) -> None:
        """Stores a result."""
        self.lake.models.write_note(self._file(contender.training), json.dumps(asdict(contender), indent=2))

    def _file(self, training: str) -> Path:
        return self.lake.models.folder / "bake_off" / f"{training}.json"
