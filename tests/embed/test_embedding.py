"""Embedding: an error costs the image that causes it, and a bug is not blamed on images."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from conftest import SIZE, MakePhoto

from pipeline.embed import attempt, embedding
from pipeline.embed.attempt import DECODE, INFER, Attempt
from pipeline.embed.backbone import Backbone, load_backbone
from pipeline.embed.embedding import embed_images
from pipeline.embed.fits import Fit
from pipeline.embed.letterbox import letterbox
from pipeline.embed.reasons import CRASHED, CRASHED_BACKBONE


@dataclass
class Graph:
    """A graph that raises an error for some pixels."""

    path: str
    refused: list[np.ndarray] = field(default_factory=list)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        if any(np.array_equal(image, refused) for image in pixels for refused in self.refused):
            raise ValueError("this image makes the graph fail")
        return load_backbone(self.path)(pixels)


@pytest.fixture(scope="module")
def photos(make_photo: MakePhoto) -> list[bytes]:
    return [make_photo(seed=seed) for seed in range(7)]


def pixels_of(content: bytes) -> np.ndarray:
    return letterbox(attempt.load(content, SIZE).pixels, SIZE)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
@pytest.mark.parametrize("bad", [[0], [2], [6], [1, 2, 5], list(range(7))])
def test_an_image_on_which_the_graph_fails_costs_itself_alone(
    photos: list[bytes], tiny_backbone: Backbone, batch_size: int, bad: list[int]
) -> None:
    expected = embed_images(photos, Graph(tiny_backbone.path), SIZE, 1).to_pylist()
    graph = Graph(tiny_backbone.path, [pixels_of(photos[number]) for number in bad])
    rows = embed_images(photos, graph, SIZE, batch_size).to_pylist()
    for number, row in enumerate(rows):
        if number in bad:
            assert (row["error"], row["features"], row["width"]) == (CRASHED_BACKBONE, None, None)
        else:
            np.testing.assert_allclose(row["features"], expected[number]["features"], rtol=1e-5)


def test_some_images_are_decoded_before_they_are_embedded_in_batches(
    photos: list[bytes], tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "DECODED_IMAGES", 4)
    stages: list[tuple[str, list[int]]] = []
    watched = Attempt(lambda stage, numbers: stages.append((stage, list(numbers))))
    contents = [*photos[:2], b"not an image", *photos[2:]]
    rows = embed_images(contents, load_backbone(tiny_backbone.path), SIZE, 2, attempt=watched).to_pylist()
    first, second = ([(DECODE, [number]) for number in range(*each)] for each in ((0, 5), (5, 8)))
    assert stages == [*first, (INFER, [0, 1]), (INFER, [3, 4]), *second, (INFER, [5, 6]), (INFER, [7])]
    assert [row["features"] is None for row in rows] == [number == 2 for number in range(8)]


def test_a_graph_that_fails_on_plain_pixels_too_is_an_error(photos: list[bytes], tiny_backbone: Backbone) -> None:
    plain = np.zeros((SIZE, SIZE, 3), np.uint8)
    graph = Graph(tiny_backbone.path, [plain, pixels_of(photos[3])])
    with pytest.raises(ValueError, match="makes the graph fail"):
        embed_images(photos, graph, SIZE, 4)


def test_an_image_that_cannot_be_fitted_costs_itself_alone(
    photos: list[bytes], tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = attempt.load

    def load_odd(content: bytes, size: int, max_pixels: int, fit: Fit) -> object:
        loaded = load(content, size, max_pixels, fit)
        if content == photos[2]:
            object.__setattr__(loaded, "pixels", loaded.pixels[:0])
        return loaded

    monkeypatch.setattr(attempt, "load", load_odd)
    errors = embed_images(photos, Graph(tiny_backbone.path), SIZE, 4)["error"].to_pylist()
    assert errors == [None, None, CRASHED, None, None, None, None]
