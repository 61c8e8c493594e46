"""Checkpoints: the published file is read completely; hostile and damaged ones are rejected without running code."""

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.networks.catalogue.checkpoint import MAGIC, PROTOCOL, read_checkpoint
from pipeline.networks.catalogue.lite_weights import LITE0_WEIGHTS, find_weights, read_weights

NUMBERS = np.arange(6, dtype="<f4")


class Command:
    """Pickles as a call of `os.system`."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def push(value: object) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def describe(
    offset: Any, shape: Any, strides: Any, storage: bytes = b"ctorch\nFloatStorage\n", count: Any = 6
) -> bytes:
    """The pickle of `{"weight": tensor}` in PyTorch's own opcodes, without PyTorch."""
    place = b"(" + push("storage") + storage + push("0") + push("cpu") + push(count) + push(None) + b"tQ"
    window = push(offset) + push(shape) + push(strides) + push(False) + push(None)
    return b"\x80\x02}" + push("weight") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + place + window + b"tRs."


def write(folder: Path, tensors: bytes, elements: bytes = struct.pack("<q", 6) + NUMBERS.tobytes()) -> Path:
    path = folder / "model.pth"
    head = pickle.dumps(MAGIC, 2) + pickle.dumps(PROTOCOL, 2) + pickle.dumps({}, 2)
    path.write_bytes(head + tensors + pickle.dumps(["0"], 2) + elements)
    return path


def test_the_published_checkpoint_reads_as_296_tensors() -> None:
    tensors = read_weights(find_weights(LITE0_WEIGHTS))
    assert len(tensors) == 296
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_fc.weight"].shape == (1000, 1280)
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())


def test_a_tensor_is_a_window_on_its_storage(tmp_path: Path) -> None:
    tensors = read_checkpoint(write(tmp_path, describe(1, (2, 2), (1, 2))))
    np.testing.assert_array_equal(tensors["weight"], [[1, 3], [2, 4]])
    assert tensors["weight"].flags.owndata


def test_a_command_in_a_checkpoint_is_rejected_by_name_and_does_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = write(tmp_path, pickle.dumps({"weight": Command(f"touch {trace}")}, 2))
    with pytest.raises(pickle.UnpicklingError, match=rf"forbidden global {os.system.__module__}\.system"):
        read_checkpoint(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "name", ["builtins\neval", "torch\nload", "torch._utils\n_rebuild_sparse_tensor", "os\nsystem"]
)
def test_every_other_global_is_rejected_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(pickle.UnpicklingError, match="forbidden global " + name.replace("\n", r"\.")):
        read_checkpoint(write(tmp_path, b"\x80\x02c" + name.encode() + b"\n."))


@pytest.mark.parametrize(
    "tensors",
    [
        pytest.param(describe(0, (7,), (1,)), id="more elements than the storage"),
        pytest.param(describe(5, (2,), (1,)), id="an offset too far"),
        pytest.param(describe(0, (2, 2), (5, 1)), id="a stride too long"),
        pytest.param(describe(5, (2,), (-1,)), id="a negative stride"),
        pytest.param(describe(-1, (1,), (1,)), id="a negative offset"),
        pytest.param(describe(0, (10**12,), (0,)), id="a terabyte of one element"),
        pytest.param(describe(0, (2,), (1, 1)), id="more strides than sizes"),
        pytest.param(describe("0", (2,), (1,)), id="an offset in words"),
        pytest.param(describe(0, (6,), (1,), count=5), id="a storage of another length"),
        pytest.param(describe(0, (6,), (1,), count=-1), id="a storage of negative length"),
        pytest.param(describe(0, (3,), (1,), storage=b"ctorch\nDoubleStorage\n"), id="a wider type than the bytes"),
        pytest.param(describe(0, (3,), (1,), storage=push("O")), id="Python objects as a type"),
        pytest.param(pickle.dumps({"weight": 1}, 2), id="a number for a tensor"),
        pytest.param(pickle.dumps([1], 2), id="a list for a dictionary"),
    ],
)
def test_a_tensor_outside_its_storage_or_of_an_unknown_kind_is_rejected(tmp_path: Path, tensors: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError):
        read_checkpoint(write(tmp_path, tensors))


def test_a_truncated_checkpoint_is_rejected(tmp_path: Path) -> None:
    path = write(tmp_path, describe(0, (6,), (1,)))
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(pickle.UnpicklingError):
            read_checkpoint(path)


def test_surplus_bytes_are_rejected(tmp_path: Path) -> None:
    path = write(tmp_path, describe(0, (6,), (1,)))
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(pickle.UnpicklingError, match="surplus"):
        read_checkpoint(path)


def test_a_zip_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(b"PK\x03\x04" + bytes(64))
    with pytest.raises(pickle.UnpicklingError):
        read_checkpoint(path)
