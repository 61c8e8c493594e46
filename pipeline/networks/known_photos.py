"""Known photos: ten photos with known ImageNet classes, to check that a backbone is trained and fed correctly.

Parity only compares a graph with its network. Sources and licences are in `photos/photos.csv`; the accepted classes
were chosen by eye.
"""

import csv
from importlib import resources
from typing import Final, NamedTuple

import numpy as np

from pipeline.embed.backbone import Backbone, load_backbone
from pipeline.embed.decode import decode
from pipeline.networks.pretrained import LastLayer

FOLDER: Final = resources.files("pipeline.networks") / "photos"


class KnownPhoto(NamedTuple):
    """A photo and its classes."""

    name: str  # of its file
    content: bytes  # JPEG
    accepted: frozenset[int]  # correct ImageNet classes, 0 to 999


def load_known_photos() -> list[KnownPhoto]:
    """Reads the photos of this package, sorted by name."""
    table = (FOLDER / "photos.csv").read_text(encoding="utf-8").splitlines()
    return [
        KnownPhoto(row["file"], (FOLDER / row["file"]).read_bytes(), frozenset(map(int, row["accepted"].split())))
        for row in csv.DictReader(table)
    ]


def decode_known_photos(size: int) -> np.ndarray:
    """Decodes the photos as the pipeline decodes every image: uint8 RGB, `[n, size, size, 3]`."""
    return np.stack([decode(photo.content, size).pixels for photo in load_known_photos()])


def classify_known_photos(backbone: Backbone, last_layer: LastLayer) -> dict[str, bool]:
    """Whether a backbone and the classifier of its weights give a photo an accepted class, by name of the photo."""
    logits = last_layer.classify(load_backbone(backbone.path)(decode_known_photos(backbone.size)))
    predicted = logits.argmax(axis=1)
    return {photo.name: int(each) in photo.accepted for photo, each in zip(load_known_photos(), predicted, strict=True)}
