"""Exact search finds what brute force finds, in any order of blocks, and counts an image that comes again once."""

import numpy as np
import pytest

from pipeline.similarity.exact_search import BestMatches


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(5000, 32)).astype(np.float32)


def rank(vectors: np.ndarray, query: np.ndarray, count: int) -> list[int]:
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1)
    return list(np.argsort(-cosines, kind="stable")[:count])


@pytest.mark.parametrize("block", [1, 7, 300, 5000])
def test_blocks_of_any_size_find_what_brute_force_finds(vectors: np.ndarray, block: int) -> None:
    best = BestMatches(vectors[17], 25)
    for start in range(0, len(vectors), block):
        best.add(vectors[start : start + block], range(start, min(start + block, len(vectors))))
    found = best.ranked()
    assert [name for name, _ in found] == rank(vectors, vectors[17], 25)
    assert found[0] == (17, pytest.approx(1))


def test_searches_of_parts_are_merged(vectors: np.ndarray) -> None:
    parts = [BestMatches(vectors[0], 10) for _ in range(3)]
    for number, part in enumerate(parts):
        part.add(vectors[number::3], range(number, len(vectors), 3))
    for part in parts[1:]:
        parts[0].merge(part)
    assert [name for name, _ in parts[0].ranked()] == rank(vectors, vectors[0], 10)


def test_an_image_of_several_days_counts_once(vectors: np.ndarray) -> None:
    best = BestMatches(vectors[0], 3)
    for _ in range(5):
        best.add(vectors[:4], ["a", "b", "c", "d"])
    assert len({name for name, _ in best.ranked()}) == 3


def test_vectors_of_zeros_are_like_nothing(vectors: np.ndarray) -> None:
    best = BestMatches(vectors[0], 2)
    best.add(np.stack([np.zeros(32, np.float32), vectors[0]]), ["zeros", "itself"])
    assert best.ranked() == [("itself", pytest.approx(1)), ("zeros", 0.0)]
