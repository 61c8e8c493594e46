"""Fits: an image fills its square as the name says, whatever its shape, and no pixels are skipped on the way."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline.embed.backbone import Backbone, load_backbone
from pipeline.embed.decode import decode, load
from pipeline.embed.embedding import embed_images
from pipeline.embed.fits import CROP, FITS, LETTERBOX
from pipeline.embed.letterbox import PADDING

SIZE = 32
WHITE, GREEN = (255, 255, 255), (0, 128, 0)


def stripes(width: int, height: int, file_format: str = "PNG") -> bytes:
    """An image with white ends and a green square in the middle."""
    side = min(width, height)
    image = Image.new("RGB", (width, height), WHITE)
    image.paste(GREEN, ((width - side) // 2, (height - side) // 2, (width + side) // 2, (height + side) // 2))
    file = io.BytesIO()
    image.save(file, file_format, **({"quality": 95} if file_format == "JPEG" else {}))
    return file.getvalue()


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    "shape", [(300, 100), (90, 400), (1000, 120), (2000, 700), (40, 33), (16, 8), (500, 500), (3, 2)]
)
def test_a_crop_shows_the_middle_and_no_padding(shape: tuple[int, int], file_format: str) -> None:
    decoded = decode(stripes(*shape, file_format), SIZE, CROP)
    assert (decoded.pixels.shape, decoded.width, decoded.height) == ((SIZE, SIZE, 3), *shape)
    middle = decoded.pixels[2:-2, 2:-2].reshape(-1, 3)
    if min(shape) > 8:
        assert np.abs(middle.astype(int) - GREEN).max() <= 8


def test_an_image_is_decoded_large_enough_for_its_fit() -> None:
    content = stripes(4000, 500, "JPEG")
    assert load(content, SIZE, fit=LETTERBOX).pixels.shape[1] < 2 * SIZE
    rows = load(content, SIZE, fit=CROP).pixels.shape[0]
    assert SIZE <= rows < 2 * SIZE


def test_a_square_is_the_same_in_every_fit() -> None:
    content = stripes(70, 70)
    np.testing.assert_array_equal(*(decode(content, SIZE, fit).pixels for fit in FITS.values()))


def test_features_are_those_of_the_fit(tiny_backbone: Backbone) -> None:
    content, embed = stripes(300, 100), load_backbone(tiny_backbone.path)
    for fit in FITS.values():
        batch: pa.RecordBatch = embed_images([content], embed, tiny_backbone.size, 1, fit=fit)
        expected = embed(decode(content, tiny_backbone.size, fit).pixels[None])[0]
        np.testing.assert_array_equal(batch["features"][0].as_py(), expected.tolist())
    assert np.array_equal(decode(content, SIZE).pixels[0, 0], PADDING)
