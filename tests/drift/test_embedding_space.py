"""Embedding space: kinds are separated, also kinds that were not in the fitted images."""

import numpy as np

from pipeline.drift.embedding_space import AXIS_COUNT, fit_embedding_space

DIMENSION, KINDS, KNOWN = 100, 8, 6


def draw(count: int, seed: int, kinds: int = KNOWN) -> tuple[np.ndarray, list[str]]:
    """Samples kinds that differ along the narrow axes and not along the wide ones."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, kinds, count)
    points = generator.normal(0, np.linspace(1.5, 0.3, DIMENSION), (count, DIMENSION))
    points[:, -20:] += np.random.default_rng(0).normal(0, 0.6, (KINDS, 20))[labels]
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), labels.astype(str).tolist()


def measure_separation(points: np.ndarray, labels: list[str]) -> float:
    """Computes the share of vectors whose nearest neighbour is of the same kind."""
    squares = ((points[:, None] - points) ** 2).sum(axis=-1)
    np.fill_diagonal(squares, np.inf)
    return float(
        np.mean([labels[nearest] == label for nearest, label in zip(squares.argmin(axis=1), labels, strict=True)])
    )


def test_kinds_are_better_separated_than_in_the_vectors_even_unseen_ones() -> None:
    reference, _ = draw(300, 1)
    space = fit_embedding_space(*draw(400, 2), reference)
    vectors, labels = draw(300, 3, kinds=KINDS)
    coordinates = space.project(vectors)
    assert coordinates.shape == (300, AXIS_COUNT + KNOWN)
    assert measure_separation(coordinates, labels) > measure_separation(vectors, labels) + 0.1


def test_axes_and_class_scores_have_the_same_variance() -> None:
    reference, _ = draw(300, 1)
    coordinates = fit_embedding_space(*draw(400, 2), reference).project(reference)
    axes, scores = (part.var(axis=0).sum() for part in (coordinates[:, :AXIS_COUNT], coordinates[:, AXIS_COUNT:]))
    assert np.allclose([axes, scores], 1, atol=1e-3)


def test_without_a_holdout_the_projection_is_the_identity() -> None:
    reference, labels = draw(30, 1)
    assert np.array_equal(fit_embedding_space(reference[:0], labels[:0], reference).project(reference), reference)


def test_one_label_and_equal_images_give_finite_coordinates() -> None:
    vectors, labels = draw(30, 1)
    one = fit_embedding_space(vectors, ["hat"] * 30, vectors).project(vectors)
    equal = fit_embedding_space(np.repeat(vectors[:1], 30, axis=0), labels, vectors).project(vectors)
    assert np.isfinite(one).all()
    assert np.isfinite(equal).all()
