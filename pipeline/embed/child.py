"""The child of a worker: what it does with bytes from strangers, and how little it is left to do harm with.

It is forked, so that everything is imported already, and notes in shared memory what it has begun. What becomes of a
picture that ends it is `sandbox.py`.
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
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NoReturn

import pyarrow as pa

from pipeline.embed.backbone import load_backbone
from pipeline.embed.embedding import DECODE, INFER, Attempt, embed_images
from pipeline.embed.limits import Limits
from pipeline.storage.cpu_timer import CpuTimer

START: Final = "start"

REQUEST: Final = pa.schema([("content", pa.binary()), ("reason", pa.string()), ("alone", pa.bool_())])
"""Pictures to embed: bytes, or a reason why not; and whether the graph is to get one alone."""

_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True)
class Work:
    """What a child does.

    Attributes:
        graph: path of the backbone's file on this machine.
        size: side of the square that it takes, in pixels.
        batch_size: pictures given to it at once.
        limits: of a picture.
    """

    graph: str
    size: int
    batch_size: int
    limits: Limits


class Board:
    """Memory that worker and child share: when the child began what, of which pictures."""

    LAYOUT: Final = struct.Struct("dqqq")
    STAGES: Final = (START, DECODE, INFER)

    def __init__(self) -> None:
        """Says nothing yet."""
        self._memory = mmap.mmap(-1, self.LAYOUT.size)

    def begin(self, stage: str, numbers: Sequence[int] = ()) -> None:
        """Notes that a stage begins, and of which pictures, by their numbers, which follow one another."""
        first, end = (numbers[0], numbers[-1] + 1) if numbers else (0, 0)
        self.LAYOUT.pack_into(self._memory, 0, time.monotonic(), self.STAGES.index(stage), first, end)

    def read(self) -> tuple[float, str, range]:
        """Seconds since, the stage, and the numbers of the pictures."""
        begun, stage, first, end = self.LAYOUT.unpack_from(self._memory)
        return time.monotonic() - begun, self.STAGES[stage], range(first, end)


def live(work: Work, board: Board, connection: Connection, worker: int) -> NoReturn:
    """The life of a child, which must never return to what the worker was doing."""
    code = 0
    try:
        _confine(work.limits, connection, worker)
        while True:
            _serve(work, board, connection)
    except EOFError:
        pass  # the worker has no more questions
    except MemoryError:
        code = errno.ENOMEM
    except BaseException as error:  # noqa: BLE001 whatever it is, the worker raises it
        connection.send_bytes(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        connection.send_bytes(b"")
    finally:
        os._exit(code)


def _serve(work: Work, board: Board, connection: Connection) -> None:
    request = pa.ipc.read_record_batch(pa.py_buffer(connection.recv_bytes()), REQUEST)
    cpu_timer = CpuTimer()
    embed = load_backbone(work.graph)
    cpu_timer.lap("start")
    reasons = {number: reason for number, reason in enumerate(request["reason"].to_pylist()) if reason}
    alone = {number for number, is_alone in enumerate(request["alone"].to_pylist()) if is_alone}
    attempt = Attempt(board.begin, reasons, alone)
    contents = request["content"].to_pylist()
    answer = embed_images(contents, embed, work.size, work.batch_size, work.limits.pixels, cpu_timer, attempt)
    board.begin(START)
    connection.send_bytes(json.dumps({"seconds": cpu_timer.seconds}).encode())
    connection.send_bytes(answer.serialize())


def _confine(limits: Limits, connection: Connection, worker: int) -> None:
    """Leaves the child its pipe, so much memory, and no file to write; it ends with the worker, in silence."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for opened in map(int, os.listdir("/dev/fd")):
        if opened > 2 and opened not in (connection.fileno(), nowhere):
            os.dup2(nowhere, opened)  # closed, its number would be given out anew, and closed by its old owner
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.disable()
    gc.freeze()
    for what, limit in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)):
        resource.setrlimit(what, (limit, limit))
    if sys.platform == "linux":
        data_pages = int(Path("/proc/self/statm").read_text().split()[5])
        most = data_pages * mmap.PAGESIZE + limits.memory_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:
        raise EOFError
