"""Clusters: which images of a day resemble each other more than the training set, as those of an unseen class do.

Asked of days whose comparison found such a cluster (`image_drift.py`). Workers compare every image with the sample of
the training set and that of its day.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from pipeline.drift.permutation import NEIGHBOUR_COUNTS
from pipeline.similarity.nearest import find_smallest, normalise, squared_distances
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.picked_rows import map_columns
from pipeline.storage.stored_rows import StoredRows
from pipeline.storage.vectors import to_matrix

SCHEMA: Final = """
    day date comment 'the day of the image, from image_features.day',
    image_id string comment 'SHA-256 of the bytes, from image_features.image_id'
"""
BLOCK_ROWS: Final = 256  # images compared at once: 6 MB of distances
DRIVER_PAIRS: Final = 2**23  # images times points that the driver compares itself, in half a second


@dataclass(frozen=True)
class Neighbourhood:
    """What the images of one day are compared with.

    Attributes:
        projection: float32 `[dimension, coordinates]`, from vectors of length 1.
        known: coordinates of the training set, float32 `[n, coordinates]`.
        own: coordinates of the sample of the day, float32 `[m, coordinates]`.
        own_ids: their `image_id`.
        min_count: images of the day among the 60 nearest, from which an image belongs to a cluster.
    """

    projection: np.ndarray
    known: np.ndarray
    own: np.ndarray
    own_ids: Sequence[str]
    min_count: int

    def find_clustered(self, ids: pa.Array, vectors: np.ndarray) -> np.ndarray:
        """Finds the images of the day that belong to a cluster, bool `[n]`; `vectors` have length 1."""
        points, known_count = np.concatenate([self.known, self.own]), len(self.known)
        places = pc.index_in(ids, value_set=pa.array(self.own_ids, pa.string())).fill_null(-1).to_numpy()
        clustered = np.zeros(len(vectors), bool)
        for start in range(0, len(vectors), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            squares = squared_distances(vectors[rows] @ self.projection, points)
            sampled = np.flatnonzero(places[rows] >= 0)
            squares[sampled, known_count + places[rows][sampled]] = np.inf  # an image is not its own neighbour
            nearest = find_smallest(squares, min(max(NEIGHBOUR_COUNTS), len(points) - 1))
            clustered[rows] = (nearest >= known_count).sum(axis=1) >= self.min_count
        return clustered


def find_clustered(features: StoredRows, neighbourhoods: Mapping[str, Neighbourhood]) -> pa.Table | DataFrame:
    """Finds the images that belong to a cluster, in the columns of `SCHEMA`; see `map_columns`.

    Args:
        features: rows of `image_features` of one or more days.
        neighbourhoods: by day, YYYY-MM-DD, 2 MB each; images of other days belong to none.
    """
    columns, schema = ["day", "image_id", "features"], parse_schema(SCHEMA)

    def compare(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            readable = batch.filter(batch["features"].is_valid())
            for day in readable["day"].unique():
                rows = readable.filter(pc.equal(readable["day"], day))
                if neighbourhood := neighbourhoods.get(str(day)):
                    found = neighbourhood.find_clustered(rows["image_id"], normalise(to_matrix(rows["features"])))
                    yield rows.filter(pa.array(found)).select(["day", "image_id"])

    points = max((len(each.known) + len(each.own) for each in neighbourhoods.values()), default=1)
    return map_columns(features, columns, compare, schema, DRIVER_PAIRS // points)
