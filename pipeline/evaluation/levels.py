"""Levels: predictions of cross-fits of growing hardness, as one table."""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluation.labelled_predictions import LabelledPredictions, from_table
from pipeline.evaluation.set_predictions import SetPredictions

LEVEL: Final = "level"
KIND, SETS = b"kind", b"sets"
"""Key and value in the metadata of a table of sets; other tables have none."""


def table_of_levels(levels: Sequence[LabelledPredictions]) -> pa.Table:
    """Converts predictions of the same classes to one table, with the number of each in a column `level`."""
    tables = [
        level.to_table().append_column(LEVEL, pa.array([number] * len(level), pa.int8()))
        for number, level in enumerate(levels)
    ]
    table = pa.concat_tables(tables)
    is_of_sets = isinstance(levels[0], SetPredictions)
    return table.replace_schema_metadata({**table.schema.metadata, KIND: SETS}) if is_of_sets else table


def levels_of(table: pa.Table) -> tuple[LabelledPredictions, ...]:
    """Converts a table of `table_of_levels` back; without the column, it is one level."""
    classes = json.loads(table.schema.metadata[b"classes"])
    if LEVEL not in table.column_names:
        return (from_table(table, classes),)
    count = 1 + (pc.max(table[LEVEL]).as_py() or 0)
    levels = tuple(from_table(table.filter(pc.equal(table[LEVEL], number)), classes) for number in range(count))
    return tuple(map(_as_sets, levels)) if table.schema.metadata.get(KIND) == SETS else levels


def _as_sets(level: LabelledPredictions) -> SetPredictions:
    return SetPredictions(**{each.name: getattr(level, each.name) for each in fields(level)})
