"""Paintings: images with distinct structure, drawn from a seed."""

import io

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def save(image: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def paint(seed: int) -> Image.Image:
    """Paints noise of all scales, as in a photo, with a few shapes on it."""
    random = np.random.default_rng(seed)
    pixels = sum(
        np.atleast_3d(cv2.resize(random.normal(0, 150 / grain, (grain, grain, colours)), (360, 300)))
        for grain, colours in ((3, 3), (6, 3), (12, 1), (24, 1), (48, 1))
    )
    image = Image.fromarray(np.clip(128 + pixels, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for left, top, colour in random.integers(0, 255, (5, 3)):
        draw.ellipse((left, top, left + 60, top + 40), fill=(int(colour), 90, 255 - int(colour)))
    return image.filter(ImageFilter.GaussianBlur(0.7))
