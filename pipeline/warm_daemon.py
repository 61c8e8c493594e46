"""A daemon that imports while Spark's JVM still starts, and then takes the place of the one that Spark starts.

Spark's own hands over its streams and variables, and lives as long as this one. Whatever fails before that leaves
Spark's own to import for itself.
"""

import select
import shutil
import socket
import sys
from pathlib import Path

from pipeline.handover import STREAMS, take_over


def main() -> None:
    """Imports, waits for Spark's own daemon, and becomes it; ends if the driver does, whose pipe is standard input."""
    listener = socket.socket(fileno=int(sys.argv.pop()))
    place = listener.getsockname()
    try:
        from pipeline import daemon

        select.select([listener.fileno(), STREAMS[0]], [], [])
        listener.setblocking(False)
        connection, _ = listener.accept()
    except BlockingIOError:
        return
    finally:
        listener.close()
        shutil.rmtree(Path(place).parent, ignore_errors=True)
    connection.setblocking(True)
    take_over(connection)
    daemon.run()


if __name__ == "__main__":
    main()
