"""The sandbox: a child of a worker that decodes and embeds bytes from strangers; what ends it costs one picture.

The worker keeps files, tables and the network; its child, which is forked, gets bytes and gives features (`child.py`).
"""

import errno
import json
import os
import signal
import warnings
from collections.abc import Collection, Mapping, Sequence
from multiprocessing import Pipe
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.embed.backbone import Backbone
from pipeline.embed.child import REQUEST, START, Board, Work, live
from pipeline.embed.decode import OUT_OF_MEMORY
from pipeline.embed.embedding import CRASHED, DECODE, EMBEDDED
from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.storage.cpu_timer import CpuTimer

CRASHED_BACKBONE: Final = "crashed the backbone"
TIMED_OUT: Final = "timed out"

START_SECONDS: Final = 300.0
"""In which a child opens the graph, on the busiest of machines."""

MAX_STARTS: Final = 3
"""Children that may end before they have begun a picture."""


class SandboxError(RuntimeError):
    """The child fails whatever the pictures; the text says what it said last."""


class Sandbox:
    """The child of a worker, forked when it is first needed, and again where a picture ended it."""

    def __init__(self, work: Work) -> None:
        """Starts nothing."""
        self.work = work
        self._child: _Child | None = None

    def embed(self, contents: pa.Array, cpu_timer: CpuTimer) -> pa.RecordBatch:
        """Embeds pictures as `embed_images` does; one that ends the child has no features, and that for a reason.

        Args:
            contents: binary, the bytes of the pictures.
            cpu_timer: gets the CPU-seconds of the child.

        Raises:
            SandboxError: where the child cannot open the graph, or fails whatever the pictures.
        """
        reasons: dict[int, str] = {}
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
                    raise SandboxError(f"{starts} children ended before they had begun a picture: {reason}")
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
        header, answer = self._child.ask(request)
        cpu_timer.lap("hand over")
        if "error" in header:
            self.close()
            raise SandboxError(header["error"])
        for stage, seconds in header["seconds"].items():
            cpu_timer.seconds[stage] += seconds
        return pa.ipc.read_record_batch(pa.py_buffer(answer), EMBEDDED)


_present: Sandbox | None = None


def open_sandbox(work: Work) -> Sandbox:
    """The one sandbox of this process; that of other work is closed."""
    global _present
    if _present is None or _present.work != work:
        if _present:
            _present.close()
        _present = Sandbox(work)
    return _present


def keep_harmless(contents: Sequence[bytes], backbone: Backbone, limits: Limits = DEFAULT_LIMITS) -> list[bytes]:
    """Those pictures that can be decoded and embedded: from then on this process may do it by itself."""
    sandbox = Sandbox(Work(backbone.path, backbone.size, backbone.batch_size, limits))
    errors = sandbox.embed(pa.array(contents, pa.binary()), CpuTimer())["error"].to_pylist()
    sandbox.close()
    return [content for content, error in zip(contents, errors, strict=True) if error is None]


class _LostError(Exception):
    """A child ended at these pictures, which is the fault of one of them; of none before it had begun one."""

    def __init__(self, numbers: Sequence[int], reason: str) -> None:
        super().__init__(reason)
        self.numbers, self.reason = numbers, reason


class _Child:
    def __init__(self, work: Work) -> None:
        self._limits = work.limits
        self._board = Board()
        self._connection, other_end = Pipe()
        worker = os.getpid()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, from Python 3.12 on: the child uses none
            self._pid = os.fork()
        if self._pid == 0:
            live(work, self._board, other_end, worker)
        other_end.close()

    def ask(self, request: pa.Buffer) -> tuple[dict[str, Any], bytes]:
        """Sends a request, and gives the header of the answer and the answer.

        Raises:
            _LostError: where the child ended or was too slow; it is no more, then.
        """
        self._board.begin(START)
        try:
            self._connection.send_bytes(request)
            self._wait()
            return json.loads(self._connection.recv_bytes()), self._connection.recv_bytes()
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
        """Ends the child, whatever it is at; gives its exit code."""
        self._connection.close()
        os.kill(self._pid, signal.SIGKILL)  # of one that has ended, the code stays what it was
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _wait(self) -> None:
        while True:
            seconds, stage, numbers = self._board.read()
            left = (START_SECONDS if stage == START else self._limits.seconds) - seconds
            if self._connection.poll(min(max(left, 0), self._limits.seconds)):  # it begins other things meanwhile
                return
            if left <= 0:
                self.end()
                raise _LostError(numbers, TIMED_OUT)


def _pack(contents: pa.Array, reasons: Mapping[int, str], alone: Collection[int]) -> pa.Buffer:
    """Pictures with a reason are not sent again."""
    numbers = range(len(contents))
    said = pa.array([reasons.get(number) for number in numbers], pa.string())
    sent = pc.if_else(said.is_null(), contents, None) if reasons else contents
    lonely = pa.array([number in alone for number in numbers], pa.bool_())
    return pa.RecordBatch.from_arrays([sent, said, lonely], schema=REQUEST).serialize()
