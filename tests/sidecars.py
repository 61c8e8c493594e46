"""Sidecar files as operating systems write them."""

from pathlib import Path

APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(40)
DS_STORE = b"\0\0\0\1Bud1" + bytes(60)
THUMBS_DB = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(60)
DESKTOP_INI = "\r\n[.ShellClassInfo]\r\nIconIndex=-235\r\n".encode("utf-16")


def copy_from_a_mac(folder: Path, photos: dict[str, bytes]) -> None:
    """Writes photos as a Mac does on a foreign disk: an AppleDouble file beside each, and a .DS_Store."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in photos.items():
        (folder / name).write_bytes(content)
        (folder / f"._{name}").write_bytes(APPLE_DOUBLE)
    (folder / ".DS_Store").write_bytes(DS_STORE)
