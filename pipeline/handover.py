"""The handover between the daemon that Spark starts and one that has imported everything meanwhile (`warm_daemon.py`).

Imports nothing that is slow, since Spark waits for its daemon.
"""

import json
import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

VARIABLE: Final = "_WARM_DAEMON"
"""Path of the socket, in a folder of its own that only this user may enter; Spark's JVM passes it on."""
STREAMS: Final = (0, 1, 2)
LIBRARIES: Final = ("pyspark", "python", "lib")
"""Folder of archives of sources that are installed too, which Python would compile again at every start."""


def leave_out_archives(places: Iterable[str]) -> list[str]:
    """Leaves out Spark's archives among places to import from."""
    return [place for place in places if Path(place).parts[-4:-1] != LIBRARIES]


def give_way() -> bool:
    """Hands the streams and variables of this process to the daemon that waits, if one does, and waits for its end."""
    place = os.environ.get(VARIABLE)
    if place is None:
        return False
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(place)
            socket.send_fds(connection, [b"\0"], STREAMS)
            connection.sendall(json.dumps({"variables": dict(os.environ), "arguments": sys.argv[1:]}).encode())
            connection.shutdown(socket.SHUT_WR)
            is_taken = bool(connection.recv(1))
        except OSError:  # it has ended, or has become an earlier daemon
            return False
        while is_taken and connection.recv(1):
            pass
    return is_taken


def take_over(connection: socket.socket) -> None:
    """Takes streams, variables and arguments from Spark's own daemon."""
    _, streams, _, _ = socket.recv_fds(connection, 1, len(STREAMS))
    with connection.makefile("rb") as text:
        given = json.load(text)
    os.environ.clear()
    os.environ.update(given["variables"])
    sys.argv[1:] = given["arguments"]
    places = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[1:1] = leave_out_archives(place for place in places if place and place not in sys.path)
    for stream, number in zip(streams, STREAMS, strict=True):
        os.dup2(stream, number)
        os.close(stream)
    os.register_at_fork(after_in_child=connection.close)  # its end is the end of the daemon alone
    connection.sendall(b"\1")
