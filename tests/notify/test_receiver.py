"""Receivers: webhooks of three shapes and commands, which fail in time and repeat no secret."""

import json
import shlex
import socket
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mailboxes import open_mail_server, open_webhook

from resources.notify.message import Kind, Message, make_message
from resources.notify.receiver import parse_receiver

SEND_MAIL = Path(__file__).parents[2] / "docs" / "send_mail.py"
PYTHON = shlex.quote(sys.executable)


@pytest.fixture
def message() -> Message:
    return make_message(
        Kind.RED_RUN,
        ("run",),
        title="The run of daily for 2026-11-29 failed",
        what="LandingError: <b>*[x](http://evil.example/y)*</b> does not exist & more",
        when=datetime(2026, 11, 30, 9, tzinfo=UTC),
        day="2026-11-29",
        cure="Wait for the upload",
        page="http://127.0.0.1:3000/runs/1",
        report="/lake/reports/2026-11-29.html",
    )


def command(code: str) -> str:
    return f"{PYTHON} -c {shlex.quote(code)}"


def test_a_webhook_gets_plain_json_and_the_id_as_a_header(message: Message) -> None:
    with open_webhook() as webhook:
        receiver = parse_receiver(webhook.url)
        assert receiver.shape == "json"
        assert receiver.send(message) is None
        assert webhook.bodies == [asdict(message)]
        assert webhook.ids == [message.id]


def test_slack_gets_blocks_of_plain_text(message: Message) -> None:
    with open_webhook() as webhook:
        assert parse_receiver(webhook.url, "slack").send(message) is None
        (body,) = webhook.bodies
    assert body["text"] == message.title
    assert {block["type"] for block in body["blocks"]} == {"header", "section", "actions", "context"}
    assert "mrkdwn" not in json.dumps(body)
    assert all(text in json.dumps(body) for text in (message.id, message.page, message.report, message.cure))


def test_teams_gets_a_card_whose_text_is_no_markdown(message: Message) -> None:
    with open_webhook() as webhook:
        assert parse_receiver(webhook.url, "teams").send(message) is None
        (body,) = webhook.bodies
    (attachment,) = body["attachments"]
    assert (body["type"], attachment["content"]["type"]) == ("message", "AdaptiveCard")
    assert {block["type"] for block in attachment["content"]["body"]} == {"RichTextBlock"}
    assert attachment["content"]["actions"][0]["url"] == message.page


@pytest.mark.parametrize(
    ("url", "shape"),
    [
        ("https://hooks.slack.com/services/x", "slack"),
        ("https://prod-7.westeurope.logic.azure.com:443/workflows/x?sig=y", "teams"),
        ("https://contoso.webhook.office.com/webhookb2/x", "teams"),
        ("https://hooks.slack.com.evil.example/x", "json"),
        ("https://alerts.example.com/x", "json"),
    ],
)
def test_the_host_of_a_webhook_determines_the_shape(url: str, shape: str) -> None:
    assert parse_receiver(url).shape == shape


def test_a_command_gets_json_on_its_standard_input_and_no_shell(message: Message, tmp_path: Path) -> None:
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read() + str(sys.argv[2:]))"
    receiver = parse_receiver(f"{command(code)} {tmp_path}/out '$(touch {tmp_path}/pwned)' ';' '*'")
    assert receiver.send(message) is None
    text = (tmp_path / "out").read_text()
    assert text.startswith(message.to_json())
    assert text.endswith(f"['$(touch {tmp_path}/pwned)', ';', '*']")
    assert not (tmp_path / "pwned").exists()


def test_the_mail_command_of_the_docs_sends_a_mail(message: Message) -> None:
    with open_mail_server() as (port, mails):
        receiver = parse_receiver(f"{PYTHON} {SEND_MAIL} me@example.com 127.0.0.1:{port}")
        assert receiver.send(message) is None
    (mail,) = mails
    assert f"Subject: Daylight: {message.title}" in mail
    assert f"Message-ID: <{message.id}@daylight>" in mail
    assert message.page in mail


@pytest.mark.parametrize("status", [302, 404, 410, 500])
def test_a_webhook_that_refuses_is_a_reason_without_its_url(message: Message, status: int) -> None:
    with open_webhook() as webhook:
        webhook.status, webhook.headers = status, {"Location": webhook.url}
        assert parse_receiver(webhook.url).send(message) == f"HTTP {status}"


def test_a_dead_webhook_is_a_reason(message: Message) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert parse_receiver(f"http://127.0.0.1:{port}/SEKRET").send(message) == "no connection (ConnectionRefusedError)"


def test_a_webhook_that_never_answers_costs_a_bounded_time(message: Message) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        started = time.monotonic()
        reason = parse_receiver(f"http://127.0.0.1:{listener.getsockname()[1]}/SEKRET").send(message, 1)
    assert reason == "no answer within 1 s"
    assert time.monotonic() - started < 5


def test_a_command_that_hangs_is_killed_with_its_children(message: Message, tmp_path: Path) -> None:
    code = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    started = time.monotonic()
    assert parse_receiver(command(code)).send(message, 1) == "no answer within 1 s"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/no/such/program SEKRET", "the command cannot be started (No such file or directory)"),
        (command("print('SEKRET'); raise SystemExit(3)"), "the command ended with status 3"),
        (command("import os; os.kill(os.getpid(), 9)"), "the command was killed by signal 9"),
    ],
)
def test_a_failing_command_is_a_reason_without_its_output(message: Message, text: str, reason: str) -> None:
    assert parse_receiver(text).send(message) == reason


def test_a_command_that_reads_nothing_is_fine(message: Message) -> None:
    assert parse_receiver("true").send(message) is None


def test_the_command_does_not_inherit_the_setting(message: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYLIGHT_NOTIFY", "x")
    assert parse_receiver(command("import os; raise SystemExit('DAYLIGHT_NOTIFY' in os.environ)")).send(message) is None
