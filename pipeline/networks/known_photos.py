"""Known photos: ten real pictures whose ImageNet class a human can name, to prove that a backbone really sees.

Parity says that a graph does what its network does; these say that the network is a trained one, fed the right way
round. Their sources and licences are in `photos/photos.csv`; their accepted classes were chosen by eye.
"""

import csv
from dataclasses import dataclass
from importlib import resources
from typing import Final, NamedTuple

import numpy as np

from pipeline.embed.backbone import Backbone, load_backbone
from pipeline.embed.decode import decode
from pipeline.networks.pretrained import LastLayer

FOLDER: Final = resources.files("pipeline.networks") / "photos"


class KnownPhoto(NamedTuple):
    """A photo and what it shows.

    Attributes:
        name: of its file.
        content: the bytes of the JPEG.
        accepted: the ImageNet classes (0 to 999) that name what it shows.
    """

    name: str
    content: bytes
    accepted: frozenset[int]


@dataclass(frozen=True)
class Answer:
    """What a backbone says of a known photo.

    Attributes:
        photo: the photo.
        predicted: its most probable ImageNet class (0 to 999).
    """

    photo: KnownPhoto
    predicted: int

    @property
    def is_right(self) -> bool:
        """Whether the predicted class names what the photo shows."""
        return self.predicted in self.photo.accepted


def load_known_photos() -> list[KnownPhoto]:
    """Reads the photos that come with Daylight, in the order of their names."""
    table = (FOLDER / "photos.csv").read_text(encoding="utf-8").splitlines()
    return [
        KnownPhoto(row["file"], (FOLDER / row["file"]).read_bytes(), frozenset(map(int, row["accepted"].split())))
        for row in csv.DictReader(table)
    ]


def decode_known_photos(size: int) -> np.ndarray:
    """Decodes the photos as the pipeline decodes every picture: uint8 RGB, `[n, size, size, 3]`."""
    return np.stack([decode(photo.content, size).pixels for photo in load_known_photos()])


def classify_known_photos(backbone: Backbone, last_layer: LastLayer) -> list[Answer]:
    """Classifies the photos by the features of an exported backbone and the classifier that its weights came with."""
    features = load_backbone(backbone.path)(decode_known_photos(backbone.size))
    logits = last_layer.classify(features)
    return [
        Answer(photo, int(predicted))
        for photo, predicted in zip(load_known_photos(), logits.argmax(axis=1), strict=True)
    ]
