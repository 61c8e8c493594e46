"""PyTorch checkpoints, read without PyTorch.

Only the legacy file format belongs here (five pickles, then raw storages). The unpickler calls no code of the file.
"""

import collections
import io
import math
import pickle
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

MAGIC: Final = 0x1950A86A20F9469CFC6C
PROTOCOL: Final = 1001
DTYPES: Final = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ByteStorage": "|u1",
}

DAMAGE: Final = (AttributeError, EOFError, LookupError, MemoryError, OverflowError, TypeError, ValueError)
"""Errors of an unpickler on truncated or hostile bytes, besides `UnpicklingError`."""


class Storage(NamedTuple):
    """A run of elements in the file, as the pickle declares it."""

    key: str
    dtype: str
    length: int


class View(NamedTuple):
    """A tensor as the pickle describes it: a window on a storage, measured in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Unpickler(pickle.Unpickler):
    """Builds dictionaries and descriptions of tensors; rejects every other global by name."""

    def find_class(self, module: str, name: str) -> Any:
        """Replaces the few globals of a state dict with harmless objects."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # a new function each time, because a pickle can set attributes of a global
            return lambda storage, offset, shape, strides, *_: View(storage, offset, shape, strides)
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise pickle.UnpicklingError(f"the checkpoint uses the forbidden global {module}.{name}")

    def persistent_load(self, pid: Any) -> Storage:
        """Records a storage, whose elements follow the pickles."""
        kind, dtype, key, _location, length, window = pid
        if kind != "storage" or window is not None or dtype not in DTYPES.values():
            raise pickle.UnpicklingError(f"the checkpoint holds an unknown kind of storage: {pid!r:.200}")
        return Storage(key, dtype, length)


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Reads a state dict that `torch.save` wrote in its legacy format, without running code from the file.

    Returns:
        Arrays by name, in the order of the file; every array is contiguous and owns its elements.

    Raises:
        pickle.UnpicklingError: if the file is not such a checkpoint: it uses a forbidden global, has missing or surplus
            bytes, or a tensor reaches outside its storage.

    Source: `_legacy_save` in PyTorch's `torch/serialization.py`.
    """
    file = io.BytesIO(path.read_bytes())
    try:
        if Unpickler(file).load() != MAGIC or Unpickler(file).load() != PROTOCOL:
            raise pickle.UnpicklingError("this is not a legacy PyTorch checkpoint")
        Unpickler(file).load()  # byte order and sizes of C types; PyTorch platforms are little-endian
        views = Unpickler(file).load()
        keys = Unpickler(file).load()
        if not all(isinstance(name, str) and isinstance(view, View) for name, view in views.items()):
            raise pickle.UnpicklingError("the checkpoint holds objects other than named tensors")
        elements = _read_storages(file, keys, {view.storage.key: view.storage for view in views.values()})
        return {name: _cut(name, view, elements[view.storage.key]) for name, view in views.items()}
    except DAMAGE as error:
        raise pickle.UnpicklingError(f"the checkpoint is damaged: {error!r:.200}") from error


def _read_storages(file: io.BytesIO, keys: list[str], storages: dict[str, Storage]) -> dict[str, np.ndarray]:
    """Reads consecutive storages: the number of elements as int64, then the elements."""
    rest = file.getbuffer()[file.tell() :]
    elements = {}
    for key in keys:
        storage = storages[key]
        (length,) = np.frombuffer(rest, "<i8", 1)
        if length != storage.length:
            raise pickle.UnpicklingError(
                f"storage {key!r:.50} holds {length} elements, but {storage.length!r:.50} are declared"
            )
        elements[key] = np.frombuffer(rest, storage.dtype, storage.length, offset=8)
        rest = rest[8 + elements[key].nbytes :]
    if rest:
        raise pickle.UnpicklingError(f"the checkpoint has {len(rest)} surplus bytes")
    return elements


def _cut(name: str, view: View, elements: np.ndarray) -> np.ndarray:
    """Copies a tensor out of its storage, with the dtype of the storage."""
    if min((view.offset, *view.shape, *view.strides)) < 0 or len(view.shape) != len(view.strides):
        raise pickle.UnpicklingError(f"tensor {name:.200} has an impossible shape")
    count = math.prod(view.shape)
    end = view.offset + sum((size - 1) * stride for size, stride in zip(view.shape, view.strides, strict=True)) + 1
    # a stride of 0 could exhaust memory without leaving the storage
    if count > len(elements) or (count and end > len(elements)):
        raise pickle.UnpicklingError(f"tensor {name:.200} reaches outside its storage")
    strides = [stride * elements.itemsize for stride in view.strides]
    return np.lib.stride_tricks.as_strided(elements[view.offset :], view.shape, strides).copy()
