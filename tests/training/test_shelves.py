"""Shelves: similar images of a label share a fold, and so do near-duplicates."""

import numpy as np
import pytest

from pipeline.training.shelves import cluster, deal_shelves

LABELS, SHELVES, PER_SHELF = 3, 6, 20


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, labels and the shelf on which each image was photographed."""
    chance = np.random.default_rng(5)
    places = chance.normal(size=(LABELS * SHELVES, 8)) * 10
    shelf = np.repeat(np.arange(LABELS * SHELVES), PER_SHELF)
    vectors = (places[shelf] + chance.normal(size=(len(shelf), 8)) * 0.1).astype(np.float32)
    return vectors, (shelf // SHELVES).astype(str), shelf


def deal(images: tuple[np.ndarray, np.ndarray, np.ndarray], groups: np.ndarray, shelf_count: int) -> np.ndarray:
    return deal_shelves(images[0], images[1], groups, shelf_count, 3, 20260101)


def test_a_shelf_lies_in_one_fold_and_every_label_in_all_of_them(images: tuple) -> None:
    _, labels, shelf = images
    folds = deal(images, np.arange(len(labels)).astype(str), SHELVES)
    assert all(len(set(folds[shelf == each])) == 1 for each in np.unique(shelf))
    counts = [[int(((labels == label) & (folds == fold)).sum()) for fold in range(3)] for label in np.unique(labels)]
    assert counts == [[2 * PER_SHELF] * 3] * LABELS


def test_near_duplicates_share_a_fold(images: tuple) -> None:
    groups = (np.arange(len(images[1])) // 2).astype(str)
    folds = deal(images, groups, 25)
    assert all(len(set(folds[groups == each])) == 1 for each in np.unique(groups))


def test_folds_do_not_depend_on_other_labels(images: tuple) -> None:
    vectors, labels, _ = images
    groups, own = np.arange(len(labels)).astype(str), labels == "1"
    alone = deal_shelves(vectors[own], labels[own], groups[own], 4, 3, 20260101)
    assert (deal(images, groups, 4)[own] == alone).all()


def test_equal_points_and_more_clusters_than_points_are_clustered() -> None:
    assert len(np.unique(cluster(np.zeros((5, 2), np.float32), 9, 1))) == 5
    assert set(cluster(np.zeros((30, 2), np.float32), 3, 1)) <= {0, 1, 2}
