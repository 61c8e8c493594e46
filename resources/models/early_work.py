"""Early work: a thread makes what a later step of a run needs, such as an export that takes TensorFlow.

Work that fails is forgotten: the step that needs it does it again and raises what went wrong.
"""

import threading
from collections.abc import Callable

_working: dict[str, threading.Thread] = {}


def make_early(name: str, make: Callable[[], object]) -> None:
    """Starts work in a thread, unless work of this name has started in this process; a process ends after its work."""

    def attempt() -> None:
        try:
            make()
        except Exception:  # noqa: BLE001 raised again where the result is needed
            return

    if name not in _working:
        _working[name] = threading.Thread(target=attempt, name="early work")
        _working[name].start()


def await_early(name: str) -> None:
    """Waits for the work of this name, if it has started."""
    if name in _working:
        _working[name].join()
