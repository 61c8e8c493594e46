"""HEIC: decoded where the extra is installed; its rejection names it where not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTRA = ROOT / ".heic"

CODE = """
import io, json
import numpy as np
import pillow_heif
from PIL import Image
from pipeline.embed.decode import load
from pipeline.embed.reasons import UnreadableImageError

wide = Image.new("RGB", (60, 40), (220, 30, 40))
wide.paste((40, 50, 210), (0, 0, 30, 40))

def save(image, **options):
    file = io.BytesIO()
    image.save(file, "HEIF", quality=90, **options)
    return file.getvalue()

def show(content):
    try:
        loaded = load(content, 40)
    except UnreadableImageError as error:
        return str(error)
    middle = loaded.pixels[loaded.pixels.shape[0] // 2]
    return [loaded.format, loaded.width, loaded.height, middle[5, :3].tolist(), middle[-5, :3].tolist()]

turned = Image.Exif()
turned[0x0112] = 6
burst = pillow_heif.from_pillow(Image.new("RGB", (60, 40), "green"))
burst.add_from_pillow(wide)
still = io.BytesIO()
burst.save(still, primary_index=1, quality=90)
photo = save(wide)
print(json.dumps({
    "photo": show(photo),
    "turned": show(save(wide, exif=turned.tobytes())),
    "burst": show(still.getvalue()),
    "cut": show(photo[: len(photo) // 2]),
}))
"""


@pytest.mark.slow
def test_a_heic_photo_is_decoded_where_the_extra_is_installed() -> None:
    assert (EXTRA / "installed").exists(), "make test-all installs the extra into .heic"
    path = os.pathsep.join([str(ROOT), str(EXTRA)])
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    shown = json.loads(done.stdout)
    file_format, width, height, left, right = shown["photo"]
    assert (file_format, width, height) == ("HEIF", 60, 40)
    assert max(left) == left[2] > 180, "blue"
    assert max(right) == right[0] > 180, "red"
    assert shown["turned"][:3] == ["HEIF", 40, 60], "it stands upright"
    assert shown["burst"] == shown["photo"], "a burst is shown by its still"
    assert shown["cut"] in ("damaged", "truncated")
