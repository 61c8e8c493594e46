"""A command for DAYLIGHT_NOTIFY that mails each message: `python3 docs/send_mail.py me@example.com smtp.example.com`.

It needs nothing but Python. The subject starts every mail about one event alike, and the id is its Message-ID.
"""

import json
import smtplib
import sys
from email.message import EmailMessage


def main() -> None:
    """Reads a message as JSON from standard input, and sends it."""
    address, server = sys.argv[1:]
    message = json.load(sys.stdin)
    mail = EmailMessage()
    mail["From"] = mail["To"] = address
    mail["Subject"] = f"Daylight: {message['title']}"
    mail["Message-ID"] = f"<{message['id']}@daylight>"
    mail.set_content(
        "\n".join(f"{name}: {message[name]}" for name in ("what", "when", "day", "cure", "page", "report"))
    )
    host, _, port = server.partition(":")
    with smtplib.SMTP(host, int(port or 25), timeout=10) as connection:
        connection.send_message(mail)


if __name__ == "__main__":
    main()
