"""Vectors: list columns become matrices, whatever their chunks."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.storage.vectors import to_matrix

ROWS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
LISTS = pa.array(ROWS, pa.list_(pa.float32()))
FIXED = pa.array(ROWS, pa.list_(pa.float64(), 2))


@pytest.mark.parametrize(
    "lists",
    [LISTS, FIXED, pa.chunked_array([LISTS[:1], LISTS[1:]]), pa.chunked_array([FIXED[:2], FIXED[2:]])],
    ids=["an array", "lists of fixed size", "chunks", "chunks of fixed size"],
)
def test_a_list_column_becomes_a_matrix_of_the_given_type(lists: pa.Array | pa.ChunkedArray) -> None:
    for dtype in (np.float32, np.float64):
        matrix = to_matrix(lists, dtype)
        assert matrix.dtype == dtype
        np.testing.assert_array_equal(matrix, ROWS)


def test_a_slice_gives_only_its_own_rows() -> None:
    np.testing.assert_array_equal(to_matrix(LISTS.slice(1, 1)), ROWS[1:2])


@pytest.mark.parametrize("empty", [LISTS[:0], pa.chunked_array([], LISTS.type)], ids=["an array", "no chunks"])
def test_no_rows_become_an_empty_matrix(empty: pa.Array | pa.ChunkedArray) -> None:
    assert to_matrix(empty).shape == (0, 0)


def test_the_matrix_can_be_changed_without_changing_the_column() -> None:
    matrix = to_matrix(LISTS)
    matrix += 1
    assert LISTS.to_pylist() == ROWS
