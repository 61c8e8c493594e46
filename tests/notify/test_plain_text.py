"""Plain text: what a hostile name or a secret becomes in a message."""

import pytest

from resources.notify.plain_text import MAX_CHARACTERS, clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("93.1 % of 60 images & more", "93.1 % of 60 images & more"),
        ("<img src=x onerror=alert(1)>.jpg", "‹img src=x onerror=alert(1)›.jpg"),
        ("two\nlines\r\n\t2026-11-20 ERROR forged.jpg", "two lines 2026-11-20 ERROR forged.jpg"),
        ("\u202egpj.exe.jpg\x1b[31m\x00", "gpj.exe.jpg [31m"),
        ("\udcff.jpg", ".jpg"),
        ("写真 🍎.jpg", "写真 🍎.jpg"),
        ("s3://me:SEKRET@bucket/lake/x?sig=SEKRET failed", "s3://bucket/lake/x failed"),
        ("POST https://hooks.slack.com/services/SEKRET/x#y: 404", "POST https://hooks.slack.com/… 404"),
        ("http://127.0.0.1:9000 refused", "http://127.0.0.1:9000 refused"),
        ("AccountKey=SEKRET;Endpoint=x", "AccountKey=***;Endpoint=x"),
        ("'password': 'SEKRET'", "'password': ***"),
        ("Authorization: Bearer SEKRET", "Authorization: ***"),
        ("aws_secret_access_key = SEKRET", "aws_secret_access_key = ***"),
        ("a monkey: 3 bananas", "a monkey: 3 bananas"),
    ],
)
def test_a_text_becomes_one_printable_line_without_markup_and_secrets(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_the_values_of_secret_variables_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG")
    monkeypatch.setenv("DAYLIGHT_NOTIFY", "python3 send.py 7777-token")
    assert clean("signed with wJalrXUtnFEMI/K7MDENG by python3 send.py 7777-token!") == "signed with *** by ***!"


def test_a_long_text_is_clipped() -> None:
    assert len(clean("word " * 10_000)) == MAX_CHARACTERS
    assert clean("word " * 10_000).endswith("…")
