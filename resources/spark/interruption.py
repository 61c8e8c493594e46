"""Interruption: a signal that ends a run also cancels its Spark jobs, for whose end Python would wait.

The connection to the JVM is busy until a job ends, so that a handler in the main thread could not cancel it.
"""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

SIGNALS: Final = frozenset({signal.SIGINT, signal.SIGTERM})

_cancel: Callable[[], object] | None = None
_is_watched = False


def cancel_on_signals(cancel: Callable[[], object]) -> None:
    """Calls `cancel` in a thread at every SIGINT and SIGTERM of this process, beside the handlers of Python.

    Replaces the function of an earlier call. Does nothing outside the main thread, or if other code reads the signals.
    """
    global _cancel, _is_watched
    _cancel = cancel
    if _is_watched or threading.current_thread() is not threading.main_thread():
        return
    end, start = os.pipe()
    os.set_blocking(start, False)
    former = signal.set_wakeup_fd(start, warn_on_full_buffer=False)
    if former != -1:
        signal.set_wakeup_fd(former)
        os.close(end)
        os.close(start)
        return
    _is_watched = True
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # the signals of a child are its own
    threading.Thread(target=_watch, args=[end], name="interruption", daemon=True).start()


def _watch(end: int) -> None:
    while received := os.read(end, 1):
        if received[0] in SIGNALS and _cancel:
            with suppress(Exception):  # the JVM may have ended
                _cancel()
