"""List columns of tables as NumPy matrices."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def view_matrices(lists: pa.ChunkedArray) -> Iterator[np.ndarray]:
    """Views float32 lists of equal length, none null, as arrays `[rows, length]`, one per chunk and without a copy."""
    for chunk in lists.chunks:
        if len(chunk):
            yield chunk.flatten().to_numpy().reshape(len(chunk), -1)


def to_matrix(lists: pa.ListArray | pa.ChunkedArray, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Converts lists of equal length, none null, to a new, writable array `[rows, length]`; `[0, 0]` for no rows."""
    if isinstance(lists, pa.ChunkedArray):
        values = pa.concat_arrays([chunk.flatten() for chunk in lists.chunks] or [pa.array([], pa.float32())])
    else:
        values = lists.flatten()
    return values.to_numpy(zero_copy_only=False).astype(dtype).reshape(len(lists), -1 if len(lists) else 0)
