"""EmbeddingSpace: kinds lie apart, those never seen too, and nothing is scorer from what is placed."""

import numpy as np

from pipeline.drift.embedding_space import AXIS_COUNT, fit_embedding_space

DIMENSION, KINDS, KNOWN = 100, 8, 6


def deal(count: int, seed: int, kinds: int = KNOWN) -> tuple[np.ndarray, list[str]]:
    """Kinds lie apart along axes that vary little; along those that vary most all are alike."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, kinds, count)
    points = generator.normal(0, np.linspace(1.5, 0.3, DIMENSION), (count, DIMENSION))
    points[:, -20:] += np.random.default_rng(0).normal(0, 0.6, (KINDS, 20))[labels]
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), labels.astype(str).tolist()


def tell_kinds_apart(points: np.ndarray, labels: list[str]) -> float:
    """Share of pictures whose nearest other one is of their kind."""
    squares = ((points[:, None] - points) ** 2).sum(axis=-1)
    np.fill_diagonal(squares, np.inf)
    return float(
        np.mean([labels[nearest] == label for nearest, label in zip(squares.argmin(axis=1), labels, strict=True)])
    )


def test_kinds_lie_further_apart_than_in_the_vectors_those_never_seen_too() -> None:
    usual, _ = deal(300, 1)
    likeness = fit_embedding_space(*deal(400, 2), usual)
    vectors, labels = deal(300, 3, kinds=KINDS)
    places = likeness.project(vectors)
    assert places.shape == (300, AXIS_COUNT + KNOWN)
    assert tell_kinds_apart(places, labels) > tell_kinds_apart(vectors, labels) + 0.1


def test_axes_and_scores_weigh_the_same() -> None:
    usual, _ = deal(300, 1)
    places = fit_embedding_space(*deal(400, 2), usual).project(usual)
    axes, scores = (part.var(axis=0).sum() for part in (places[:, :AXIS_COUNT], places[:, AXIS_COUNT:]))
    assert np.allclose([axes, scores], 1, atol=1e-3)


def test_without_a_holdout_vectors_stay_as_they_are() -> None:
    usual, labels = deal(30, 1)
    assert np.array_equal(fit_embedding_space(usual[:0], labels[:0], usual).project(usual), usual)


def test_one_label_or_pictures_that_are_all_equal_are_no_fault() -> None:
    vectors, labels = deal(30, 1)
    one = fit_embedding_space(vectors, ["hat"] * 30, vectors).project(vectors)
    equal = fit_embedding_space(np.repeat(vectors[:1], 30, axis=0), labels, vectors).project(vectors)
    assert np.isfinite(one).all()
    assert np.isfinite(equal).all()
