"""Block pairs: the most similar images of two blocks, by one product of matrices of whitened embeddings.

Executors import this module, so it uses numpy and Arrow alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

BLOCK_ROWS: Final = 4096
NEIGHBOUR_COUNT: Final = 8
PAIRS: Final = pa.schema({"image_id": pa.string(), "near_duplicate_id": pa.string(), "similarity": pa.float64()})


@dataclass(frozen=True)
class Minima:
    """The smallest cosines of a pair."""

    similar: float
    nearest: float  # of an image and its nearest neighbour in the other block


def compare_blocks(minima: Minima) -> Callable[[pa.Table], pa.Table]:
    """Finds the nearest neighbours of each image of the block `low` in the block `high`, or in the same one.

    Rows have `image_id`, `vector` and `block`, and in all rows the same `low` and `high`.
    """

    def compare(rows: pa.Table) -> pa.Table:
        rows = rows.sort_by("image_id")
        ids, blocks, vectors = rows["image_id"].to_numpy(), rows["block"].to_numpy(), _open_vectors(rows)
        low, high = (np.flatnonzero(blocks == rows[block][0].as_py()) for block in ("low", "high"))
        similarities = vectors[low].astype(np.float32) @ vectors[high].astype(np.float32).T
        similarities[low[:, None] == high] = -np.inf
        return _pair_both(ids[low], ids[high], similarities, minima)

    return compare


def compare_guests(minima: Minima) -> Callable[[pa.Table], pa.Table]:
    """Finds the nearest neighbours among guests and residents of a cell; pairs of guests are not compared.

    Rows have `image_id`, `vector` and `is_guest`. A resident is a guest too. At most `BLOCK_ROWS` guests are compared
    at once.
    """

    def compare(rows: pa.Table) -> pa.Table:
        rows = rows.sort_by("image_id")
        ids, is_guest, vectors = rows["image_id"].to_numpy(), rows["is_guest"].to_numpy(), _open_vectors(rows)
        residents, guests = np.flatnonzero(~is_guest), np.flatnonzero(is_guest)
        here, found = vectors[residents].astype(np.float32).T, [PAIRS.empty_table()]
        for start in range(0, len(guests), BLOCK_ROWS):
            block = guests[start : start + BLOCK_ROWS]
            similarities = vectors[block].astype(np.float32) @ here
            _, own, place = np.intersect1d(ids[block], ids[residents], assume_unique=True, return_indices=True)
            similarities[own, place] = -np.inf
            found.append(_pair_both(ids[block], ids[residents], similarities, minima))
        return pa.concat_tables(found)

    return compare


def _open_vectors(rows: pa.Table) -> np.ndarray:
    return np.frombuffer(b"".join(rows["vector"].to_pylist()), np.float16).reshape(rows.num_rows, -1)


def _pair_both(ids: np.ndarray, other_ids: np.ndarray, similarities: np.ndarray, minima: Minima) -> pa.Table:
    sides = (ids, other_ids, similarities), (other_ids, ids, similarities.T)
    return pa.concat_tables([_pair(*side, minima) for side in sides])


def _pair(ids: np.ndarray, other_ids: np.ndarray, similarities: np.ndarray, minima: Minima) -> pa.Table:
    """Finds the nearest neighbours of each row, and its first similar one; columns are in the order of the digests."""
    count = min(NEIGHBOUR_COUNT, similarities.shape[1])
    if not similarities.size:
        return PAIRS.empty_table()
    chosen = np.flatnonzero(similarities.max(axis=1) >= min(minima.similar, minima.nearest))
    similarities = similarities[chosen]
    nearest = np.argpartition(similarities, -count, axis=1)[:, -count:]
    columns = np.hstack([nearest, np.argmax(similarities >= minima.similar, axis=1)[:, None]])
    rows = np.repeat(chosen, count + 1)
    values = np.take_along_axis(similarities, columns, axis=1)
    is_nearest = values == values.max(axis=1, keepdims=True)
    similar = np.flatnonzero(values >= np.where(is_nearest, minima.nearest, minima.similar))
    arrays = [ids[rows[similar]], other_ids[columns.ravel()[similar]], values.ravel()[similar].astype(np.float64)]
    return pa.table(arrays, schema=PAIRS)
