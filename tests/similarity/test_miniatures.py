"""Miniatures: files of one photo are equal, whatever their encoding and size; files of two photos are not."""

import io

import numpy as np
import pytest
from paintings import paint
from PIL import Image

from pipeline.embed.decode import load
from pipeline.embed.miniature import BYTES, make_miniature
from pipeline.networks.known_photos import load_known_photos
from pipeline.similarity import miniatures
from pipeline.similarity.miniatures import are_equal, find_equal


def shrink(image: Image.Image, encoding: str = "JPEG", quality: int = 90) -> np.ndarray:
    """The miniature of an image as it is saved and decoded again."""
    file = io.BytesIO()
    image.save(file, encoding, quality=quality)
    return np.frombuffer(make_miniature(load(file.getvalue(), 224).pixels), np.uint8)


def photos() -> list[Image.Image]:
    known = [Image.open(io.BytesIO(photo.content)).convert("RGB") for photo in load_known_photos()]
    return [*known, *(paint(seed) for seed in range(8))]


def scale(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((int(image.width * factor), int(image.height * factor)), Image.Resampling.LANCZOS)


@pytest.mark.parametrize(
    ("encoding", "quality", "factor"), [("JPEG", 30, 1.0), ("WEBP", 80, 1.0), ("PNG", 0, 1.0), ("JPEG", 85, 0.5)]
)
def test_a_photo_saved_again_in_another_encoding_or_size_is_equal(encoding: str, quality: int, factor: float) -> None:
    originals = photos()
    saved = np.stack([shrink(scale(image, factor), encoding, quality) for image in originals])
    assert saved.shape[1] == BYTES
    assert are_equal(np.stack([shrink(image) for image in originals]), saved).all()


def test_different_photos_are_not_equal() -> None:
    found = np.stack([shrink(image) for image in photos()])
    one, other = np.triu_indices(len(found), 1)
    assert not are_equal(found[one], found[other]).any()


def test_a_photo_in_another_colour_or_light_and_blank_images_are_not_equal() -> None:
    image = paint(1)
    red, green, blue = image.split()
    others = [Image.merge("RGB", (blue, green, red)), image.point(lambda value: value // 2)]
    for other in others:
        assert not are_equal(shrink(image)[None], shrink(other)[None]).any()
    white = shrink(Image.new("RGB", (90, 60), "white"))[None]
    assert not are_equal(white, white).any()


def test_the_search_by_keys_finds_what_comparing_all_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    originals = photos()
    found = np.stack([shrink(image) for image in originals] + [shrink(scale(image, 0.7)) for image in originals[::2]])
    one, other = (each.ravel() for each in np.meshgrid(range(len(found)), range(len(found))))
    is_pair = are_equal(found[one], found[other]) & (other < one) & (one % 3 == 0)
    monkeypatch.setattr(miniatures, "PAIRS_AT_ONCE", 7)
    pairs = [pair for parts in find_equal(found, np.arange(0, len(found), 3)) for pair in zip(*parts, strict=True)]
    assert sorted(pairs) == sorted(zip(one[is_pair], other[is_pair], strict=True))
    assert len(pairs) > 1
