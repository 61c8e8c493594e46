"""The sandbox: a worker's child process (`child.py`) decodes untrusted bytes.

The worker has files, tables and the network; the child gets bytes and returns features or pixels. An image that kills
it is rejected; the others are not affected.
"""

import errno
import json
import os
import signal
import socket
import struct
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.embed.attempt import DECODE
from pipeline.embed.child import REQUEST, START, Board, Work, run_child
from pipeline.embed.reasons import CRASHED, CRASHED_BACKBONE, OUT_OF_MEMORY, TIMED_OUT
from pipeline.storage.cpu_timer import CpuTimer

START_SECONDS: Final = 300.0  # limit for a child to read a request and open the graph; generous, for busy machines
LOOK_SECONDS: Final = 1.0  # interval in which a worker looks at a silent child
NO_REASONS: Final[Mapping[int, str]] = MappingProxyType({})
MAX_STARTS: Final = 3  # children that may die before their first image


class SandboxError(RuntimeError):
    """The child fails regardless of the images; the text contains its last error."""


class Sandbox:
    """A worker's child process, forked on first use and again after an image killed it."""

    def __init__(self, work: Work) -> None:
        """Starts no process yet."""
        self.work = work
        self._child: _Child | None = None

    def run(self, contents: pa.Array, cpu_timer: CpuTimer, known: Mapping[int, str] = NO_REASONS) -> pa.RecordBatch:
        """Lets the child work on images; an image that kills it gets a reason instead of a result.

        Args:
            contents: bytes of the images.
            cpu_timer: gets the CPU-seconds of the child, by stage.
            known: reasons of images without bytes, by their numbers.

        Returns:
            The columns of the work's schema, one row per image.

        Raises:
            SandboxError: if the child cannot start to work, or fails regardless of the images.
        """
        reasons = dict(known)
        alone: set[int] = set()
        starts = 0
        while True:
            try:
                return self._ask(_pack(contents, reasons, alone), cpu_timer)
            except _LostError as error:
                self._child, numbers, reason = None, error.numbers, error.reason
            if not numbers:
                starts += 1
                if starts == MAX_STARTS:
                    raise SandboxError(f"{starts} children died before their first image: {reason}")
            elif len(numbers) == 1:
                reasons[numbers[0]] = reason
            else:
                alone.update(numbers)

    def close(self) -> None:
        """Ends the child, if there is one."""
        if self._child:
            self._child.end()
            self._child = None

    def _ask(self, request: pa.Buffer, cpu_timer: CpuTimer) -> pa.RecordBatch:
        self._child = self._child or _Child(self.work)
        header, result = self._child.ask(request)
        cpu_timer.lap("hand over")
        if "error" in header:
            self.close()
            raise SandboxError(header["error"])
        for stage, seconds in header["seconds"].items():
            cpu_timer.seconds[stage] += seconds
        return pa.ipc.read_record_batch(pa.py_buffer(result), self.work.schema)


_present: Sandbox | None = None


def open_sandbox(work: Work) -> Sandbox:
    """The only sandbox of this process; closes the previous one if its work differs."""
    global _present
    if _present is None or _present.work != work:
        if _present:
            _present.close()
        _present = Sandbox(work)
    return _present


class _LostError(Exception):
    """A child died of one of these images; there are none if it died before its first."""

    def __init__(self, numbers: Sequence[int], reason: str) -> None:
        super().__init__(reason)
        self.numbers, self.reason = numbers, reason


class _Child:
    def __init__(self, work: Work) -> None:
        self._limits = work.limits
        self._board = Board()
        self._connection, other_end = Pipe()
        _limit_waits(self._connection)
        worker = os.getpid()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads; the child uses none
            self._pid = os.fork()
        if self._pid == 0:
            run_child(work, self._board, other_end, worker)
        other_end.close()

    def ask(self, request: pa.Buffer) -> tuple[dict[str, Any], bytes]:
        """Sends a request; returns header and body of the response, or raises `_LostError` once the child has ended."""
        self._board.post(START)
        try:
            self._connection.send_bytes(request)
            self._wait()
            return json.loads(self._connection.recv_bytes()), self._connection.recv_bytes()
        except BlockingIOError:
            self.end()
            raise _LostError((), TIMED_OUT) from None
        except (EOFError, ConnectionError):
            _, stage, numbers = self._board.read()
            code = self.end()
            if code in (errno.ENOMEM, -signal.SIGKILL):  # its own limit, or the system's
                reason = OUT_OF_MEMORY
            elif numbers:
                reason = CRASHED if stage == DECODE else CRASHED_BACKBONE
            else:
                reason = f"exit code {code}"
            raise _LostError(numbers, reason) from None

    def end(self) -> int:
        """Kills the child and returns its exit code."""
        self._connection.close()
        os.kill(self._pid, signal.SIGKILL)  # a child that already ended keeps its exit code
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _wait(self) -> None:
        stood_still = 0.0  # time in which this process could not run either, as in a paused container
        while True:
            began = time.monotonic()
            seconds, stage, numbers = self._board.read()
            left = (START_SECONDS if stage == START else self._limits.seconds) - seconds + stood_still
            wait = min(max(left, 0), LOOK_SECONDS)  # the board may change meanwhile
            if self._connection.poll(wait):
                return
            if left <= 0:
                self.end()
                raise _LostError(numbers, TIMED_OUT)
            stood_still += max(0.0, time.monotonic() - began - wait)


def _limit_waits(connection: Connection) -> None:
    """Lets a message raise BlockingIOError once the other end has not moved a byte of it for `START_SECONDS`."""
    limit = struct.pack("ll", int(START_SECONDS), 0)
    with socket.socket(fileno=os.dup(connection.fileno())) as shared:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


def _pack(contents: pa.Array, reasons: Mapping[int, str], alone: Collection[int]) -> pa.Buffer:
    """Packs a request; the bytes of images that have a reason are left out."""
    numbers = range(len(contents))
    known = pa.array([reasons.get(number) for number in numbers], pa.string())
    sent = pc.if_else(known.is_null(), contents, None) if reasons else contents
    is_alone = pa.array([number in alone for number in numbers], pa.bool_())
    return pa.RecordBatch.from_arrays([sent, known, is_alone], schema=REQUEST).serialize()
