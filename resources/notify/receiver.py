"""The receiver of messages: a webhook, or a command that reads JSON from its standard input.

Its text is a secret: no error and no log repeats it.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from resources.notify.message import Message
from resources.notify.shapes import choose_shape, shape

WEBHOOK: Final = Path(__file__).with_name("webhook.py")
TIMEOUT_SECONDS: Final = 15
REASON_CHARACTERS: Final = 80
AUTO: Final = "auto"


@dataclass(frozen=True)
class Receiver:
    """A command, or a webhook with the shape of its messages.

    Attributes:
        command: program and arguments; empty for a webhook.
        url: of the webhook; empty for a command.
        shape: json, slack or teams.
    """

    command: tuple[str, ...] = field(default=(), repr=False)
    url: str = field(default="", repr=False)
    shape: str = "json"

    def send(self, message: Message, timeout_seconds: float = TIMEOUT_SECONDS) -> str | None:
        """Delivers a message; returns the reason why it failed, or None."""
        if not self.url:
            return _run(self.command, message.to_json(), timeout_seconds)
        headers = {"Idempotency-Key": message.id}
        order = {"url": self.url, "headers": headers, "body": shape(message, self.shape)}
        return _run((sys.executable, "-I", str(WEBHOOK)), json.dumps(order), timeout_seconds, is_ours=True)


def parse_receiver(text: str, shape_name: str = AUTO) -> Receiver:
    """Parses the setting.

    Raises:
        ValueError: if it is neither an HTTP URL nor a command; the text is not repeated.
    """
    scheme = text.partition("://")[0]
    if "://" not in text or not scheme.isalnum():
        try:
            command = tuple(shlex.split(text))
        except ValueError as error:
            raise ValueError(f"it is not a command ({error}): close its quotes") from None
        return Receiver(command)
    try:
        parts = urlsplit(text)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_web = False
    if not is_web or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("it is not the URL of a webhook: write one that starts with https://, or a command")
    return Receiver(url=text, shape=choose_shape(text) if shape_name == AUTO else shape_name)


def _run(command: tuple[str, ...], text: str, timeout_seconds: float, is_ours: bool = False) -> str | None:
    """Runs a program without a shell, in a process group that is killed when its time is over.

    Its output goes nowhere, because it may repeat a secret; that of our own program is the reason of a failure.
    """
    environment = {name: value for name, value in os.environ.items() if name != "DAYLIGHT_NOTIFY"}
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # noqa: S603 the user's own command
                command,
                stdin=subprocess.PIPE,
                stdout=output if is_ours else subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            return f"the command cannot be started ({error.strerror})"
        try:
            process.communicate(text.encode(), timeout_seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"no answer within {timeout_seconds:g} s"
        output.seek(0)
        text = output.read(REASON_CHARACTERS).decode(errors="replace")
    if process.returncode < 0:
        return f"the command was killed by signal {-process.returncode}"
    return None if not process.returncode else text or f"the command ended with status {process.returncode}"
