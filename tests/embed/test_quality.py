"""The quality screen: what a person calls blurred, dark, blank or tiny has a flag, and an ordinary image has none."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from pipeline.embed.decode import load
from pipeline.embed.quality import BLANK, BLURRED, DARK, LIGHT, TINY, QualityThresholds, find_flags

SIZE = 224
WHITE = (255, 255, 255)


def scene(width: int = 533, height: int = 400, seed: int = 0) -> Image.Image:
    """Overlapping shapes of many sizes and colours, with fine grain, as a photo of objects has them."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), (150, 140, 120))
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y = random.integers(0, width), random.integers(0, height)
        across, down = random.integers(10, max(12, width // 4), 2)
        colour = tuple(random.integers(20, 235, 3).tolist())
        (draw.ellipse if random.random() < 0.5 else draw.rectangle)((x, y, x + across, y + down), colour)
    grain = random.normal(0, 6, (height, width, 3))
    return Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))


def flags(image: Image.Image, quality: int = 85, size: int = SIZE) -> list[str]:
    """Flags of an image that is saved as a JPEG and loaded like any other."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    loaded = load(file.getvalue(), size)
    return find_flags(loaded.pixels, loaded.width, loaded.height)


def blur(radius: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.filter(ImageFilter.GaussianBlur(radius))


def shake(length: int, slope: float) -> Callable[[Image.Image], Image.Image]:
    """Motion blur along a line of a length in pixels, by averaging shifted copies."""

    def change(image: Image.Image) -> Image.Image:
        direction = np.array([1, slope]) / np.hypot(1, slope)
        shifts = np.round(np.outer(np.arange(length), direction)).astype(int)
        shifted = [np.roll(np.asarray(image, np.float32), tuple(shift[::-1]), (0, 1)) for shift in shifts]
        return Image.fromarray(np.mean(shifted, axis=0).astype(np.uint8))

    return change


def darken(factor: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.point(lambda value: value * factor)


def noisy(colour: tuple[int, int, int], deviation: float) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, deviation, (400, 533, 3))
    return Image.fromarray((colour + noise).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("size", [(533, 400), (400, 533), (348, 348), (1600, 1200), (100, 75), (32, 32), (1200, 40)])
@pytest.mark.parametrize("quality", [50, 95])
def test_an_ordinary_image_of_any_size_has_no_flag(size: tuple[int, int], quality: int) -> None:
    assert flags(scene(*size), quality) == []


@pytest.mark.parametrize("backbone_size", [96, 224, 299, 380])
def test_the_flags_of_an_image_hardly_depend_on_the_backbone(backbone_size: int) -> None:
    assert flags(scene(1600, 1200), size=backbone_size) == []
    assert flags(blur(16)(scene(1600, 1200)), size=backbone_size) == [BLURRED]


@pytest.mark.parametrize(
    "change",
    [blur(3), blur(6), blur(15), shake(21, 0), shake(21, 1), shake(31, -1), shake(31, 0.4), shake(21, 1e9)],
    ids=["blur 3", "blur 6", "blur 15", "across", "diagonal", "other diagonal", "steep", "down"],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_image_out_of_focus_or_shaken_is_blurred(change: Callable[[Image.Image], Image.Image], seed: int) -> None:
    assert flags(change(scene(seed=seed))) == [BLURRED]


@pytest.mark.parametrize("size", [(400, 200), (200, 400)])
@pytest.mark.parametrize("quality", [75, 95])
def test_a_drawing_without_edges_in_one_direction_is_not_blurred(size: tuple[int, int], quality: int) -> None:
    flag = Image.new("RGB", (400, 400))
    flag.paste((250, 250, 0), (0, 0, *size))
    assert flags(flag, quality) == []


def test_a_shaded_object_without_edges_in_one_direction_is_not_blurred() -> None:
    shade = np.linspace(0, 250, 400)[:, None, None].repeat(300, 1).repeat(3, 2).astype(np.uint8)
    image = Image.new("RGB", (300, 400), (190, 190, 190))
    for left in (60, 170):
        image.paste(Image.fromarray(shade).crop((0, 0, 70, 400)), (left, 0))
    assert flags(image) == []


def test_a_sharp_object_before_a_blurred_ground_is_not_blurred() -> None:
    image = blur(10)(scene())
    image.paste(scene().crop((100, 100, 350, 300)), (100, 100))
    assert flags(image) == []


@pytest.mark.parametrize("factor", [0.02, 0.05, 0.1, 0.3])
@pytest.mark.parametrize("quality", [60, 95])
def test_a_darkened_image_is_dark_and_nothing_else(factor: float, quality: int) -> None:
    assert flags(darken(factor)(scene()), quality) == [DARK]


def test_a_black_object_on_white_and_a_lamp_at_night_are_not_dark() -> None:
    night = darken(0.05)(scene())
    ImageDraw.Draw(night).ellipse((200, 100, 260, 160), WHITE)
    on_white = Image.new("RGB", (533, 400), WHITE)
    on_white.paste(darken(0.05)(scene(200, 200)), (150, 100))
    assert flags(night) == flags(on_white) == []


def test_a_faded_image_is_light() -> None:
    assert flags(scene().point(lambda value: 230 + value * 0.1)) == [LIGHT]


def test_a_small_object_on_a_white_ground_is_not_light() -> None:
    image = Image.new("RGB", (533, 400), WHITE)
    image.paste(scene(80, 80), (200, 150))
    assert flags(image) == []


@pytest.mark.parametrize("colour", [(128, 128, 128), (200, 40, 40), (40, 180, 60), (90, 60, 130), (210, 200, 60)])
@pytest.mark.parametrize("deviation", [0, 1, 4])
def test_one_colour_is_blank_with_or_without_noise(colour: tuple[int, int, int], deviation: float) -> None:
    assert flags(noisy(colour, deviation), 70) == [BLANK]


def test_black_is_blank_and_dark_and_white_is_blank_and_light_and_bright_blue_only_blank() -> None:
    assert flags(noisy((0, 0, 0), 2)) == [BLANK, DARK]
    assert flags(noisy(WHITE, 2)) == [BLANK, LIGHT]
    assert flags(noisy((0, 0, 255), 0)) == [BLANK]


def test_two_colours_of_equal_brightness_are_not_blank() -> None:
    image = Image.new("RGB", (400, 400), (200, 40, 40))
    image.paste((40, 100, 162), (0, 0, 200, 400))
    assert np.ptp(np.asarray(image.convert("L"))) <= 2
    assert BLANK not in flags(image)


@pytest.mark.parametrize("size", [(24, 16), (31, 31), (300, 20), (1, 1), (5000, 3)])
def test_an_image_of_few_pixels_is_tiny(size: tuple[int, int]) -> None:
    assert TINY in flags(scene(*size))


def test_the_thresholds_decide() -> None:
    pixels = load(_png(scene(64, 64)), SIZE).pixels
    assert find_flags(pixels, 64, 64) == []
    assert find_flags(pixels, 64, 64, QualityThresholds(side=65)) == [TINY]


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
