"""The sandboxed child process: decodes untrusted bytes with minimal privileges.

It is forked with all imports done, and posts its progress in shared memory. `sandbox.py` handles its death.
"""

import ctypes
import errno
import faulthandler
import gc
import json
import mmap
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NoReturn, Protocol

import pyarrow as pa

from pipeline.embed.attempt import DECODE, INFER, Attempt
from pipeline.embed.limits import Limits
from pipeline.storage.cpu_timer import CpuTimer

START: Final = "start"
REQUEST: Final = pa.schema([("content", pa.binary()), ("reason", pa.string()), ("alone", pa.bool_())])
"""Images: the bytes or a known reason, and whether to embed the image alone."""
_PR_SET_PDEATHSIG: Final = 1


class Work(Protocol):
    """The work of a child on one request after another; comparable, so that equal work shares a child."""

    @property
    def limits(self) -> Limits:
        """Limits for one image."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of the result."""

    def run(self, contents: Sequence[bytes], attempt: Attempt, cpu_timer: CpuTimer) -> pa.RecordBatch:
        """Works on images; returns one row per image."""


class Board:
    """Memory shared by worker and child: the current stage of the child, its start and its images."""

    LAYOUT: Final = struct.Struct("dqqq")
    STAGES: Final = (START, DECODE, INFER)

    def __init__(self) -> None:
        """Allocates an empty board."""
        self._memory = mmap.mmap(-1, self.LAYOUT.size)

    def post(self, stage: str, numbers: Sequence[int] = ()) -> None:
        """Posts the start of a stage and the consecutive numbers of its images."""
        first, end = (numbers[0], numbers[-1] + 1) if numbers else (0, 0)
        self.LAYOUT.pack_into(self._memory, 0, time.monotonic(), self.STAGES.index(stage), first, end)

    def read(self) -> tuple[float, str, range]:
        """Reads the seconds since the stage began, the stage, and the numbers of its images."""
        begun, stage, first, end = self.LAYOUT.unpack_from(self._memory)
        return time.monotonic() - begun, self.STAGES[stage], range(first, end)


def run_child(work: Work, board: Board, connection: Connection, worker: int) -> NoReturn:
    """Serves requests until the worker closes the pipe; never returns into the worker's code."""
    code = 0
    try:
        _confine(work.limits, connection, worker)
        while True:
            _serve(work, board, connection)
    except EOFError:
        pass  # the worker closed the pipe
    except MemoryError:
        code = errno.ENOMEM
    except BaseException as error:  # noqa: BLE001 the worker raises it
        connection.send_bytes(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        connection.send_bytes(b"")
    finally:
        os._exit(code)


def _serve(work: Work, board: Board, connection: Connection) -> None:
    request = pa.ipc.read_record_batch(pa.py_buffer(connection.recv_bytes()), REQUEST)
    cpu_timer = CpuTimer()
    reasons = {number: reason for number, reason in enumerate(request["reason"].to_pylist()) if reason}
    alone = {number for number, is_alone in enumerate(request["alone"].to_pylist()) if is_alone}
    attempt = Attempt(board.post, reasons, alone)
    result = work.run(request["content"].to_pylist(), attempt, cpu_timer)
    board.post(START)
    connection.send_bytes(json.dumps({"seconds": cpu_timer.seconds}).encode())
    connection.send_bytes(result.serialize())


def _confine(limits: Limits, connection: Connection, worker: int) -> None:
    """Restricts the child to its pipe, limited memory and no writable file; it dies with its worker.

    Its error output is closed too: decoders write about untrusted files there, thousands of lines a day.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for opened in map(int, os.listdir("/dev/fd")):
        if opened >= 2 and opened not in (connection.fileno(), nowhere):
            os.dup2(nowhere, opened)  # a closed number would be reused, and then closed by its former owner
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.disable()
    gc.freeze()
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(kind, (0, 0))
    if sys.platform == "linux":
        data_pages = int(Path("/proc/self/statm").read_text().split()[5])
        max_bytes = data_pages * mmap.PAGESIZE + limits.memory_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (max_bytes, max_bytes))
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:
        raise EOFError
