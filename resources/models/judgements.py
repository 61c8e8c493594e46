"""Judgements: what bake-offs found of backbones, one small file each, so that nothing is judged twice."""

import json
from dataclasses import asdict
from pathlib import Path

import dagster as dg
from pydantic import Field

from pipeline.training.contenders import Contender
from resources.lake.lake import Lake


class Judgements(dg.ConfigurableResource):
    """The contenders of all bake-offs, by what they were trained from."""

    lake: Lake = Field(description="Where they are kept.")

    def recall(self, training: str) -> Contender | None:
        """What was found of a backbone on these pictures with this search, or None."""
        note = self.lake.models.read_note(self._file(training))
        return Contender(**json.loads(note)) if note else None

    def keep(self, contender: Contender) -> None:
        """Keeps what was found."""
        self.lake.models.write_note(self._file(contender.training), json.dumps(asdict(contender), indent=2))

    def _file(self, training: str) -> Path:
        return self.lake.models.folder / "bake_off" / f"{training}.json"
