"""Set predictions: sets of labels predicted by a classifier beside the true sets, on the driver."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.labelled_predictions import LabelledPredictions, join_predictions
from pipeline.images.label_sets import deny, list_members, write_set

NO, YES = "no", "yes"


@dataclass(frozen=True)
class SetPredictions(LabelledPredictions):
    """Predictions of sets of labels: answers to k yes/no questions about each of n images.

    `labels` and `predicted` are texts of sets (`label_sets.py`), `classes` the labels of all sets, and `probabilities`
    those that each label holds, float64 `[n, k]`.
    """

    @property
    def confidence(self) -> np.ndarray:
        """Probability that the whole set is right if the labels are independent, float64 `[n]`."""
        return np.asarray(np.maximum(self.probabilities, 1 - self.probabilities).prod(axis=1))

    @property
    def holds(self) -> np.ndarray:
        """Whether each label holds, bool `[n, k]`."""
        return to_members(self.labels, self.classes)

    def about(self, label: str) -> LabelledPredictions:
        """The answers to one question, whose classes are `NO` and `YES`."""
        place = self.classes.index(label)
        names, shares = np.array((NO, YES), object), self.probabilities[:, place]
        labels, predicted = (names[found.astype(int)] for found in (self.holds[:, place], shares >= 0.5))
        return LabelledPredictions(self.image_ids, labels, predicted, (NO, YES), np.column_stack([1 - shares, shares]))

    @property
    def by_answer(self) -> LabelledPredictions:
        """The answers to all questions; each image is there once for each of them."""
        return join_predictions([self.about(label) for label in self.classes])

    @property
    def by_label(self) -> LabelledPredictions:
        """For each label that holds for an image, this label and whether it was predicted; ids end with the label."""
        parts = []
        for label in self.classes:
            about = self.about(label)
            chosen = about.labels == YES
            predicted = np.where(about.predicted[chosen] == YES, label, deny(label)).astype(object)
            labels = np.full(chosen.sum(), label, object)
            ids = np.array([f"{image_id} {label}" for image_id in self.image_ids[chosen]], object)
            found = LabelledPredictions(
                ids, labels, predicted, self.classes, np.zeros((len(labels), len(self.classes)))
            )
            parts.append(found)
        return join_predictions(parts)

    @property
    def by_set(self) -> LabelledPredictions:
        """The same predictions, one for each image, with sets as classes.

        The columns are ranked: the most probable set, the next one, and the true set if it is neither of them.
        """
        held, rows, true = self.probabilities >= 0.5, np.arange(len(self)), self.holds
        doubtful = np.abs(self.probabilities - 0.5).argmin(axis=1)
        following = held.copy()
        following[rows, doubtful] ^= True
        columns = np.where((true == held).all(axis=1), 0, np.where((true == following).all(axis=1), 1, 2))
        shares = np.column_stack([self._share(each) for each in (held, following, true)])
        shares[columns < 2, 2] = 0.0
        texts = np.array([write_texts(each, self.classes) for each in (held, following, true)]).T
        sets, places = np.unique(texts, return_inverse=True)
        ranked = {"places": places.reshape(texts.shape), "columns": columns}
        return LabelledPredictions(self.image_ids, self.labels, self.predicted, tuple(sets.tolist()), shares, **ranked)

    def _share(self, held: np.ndarray) -> np.ndarray:
        return np.asarray(np.where(held, self.probabilities, 1 - self.probabilities).prod(axis=1))


def predict_sets(
    image_ids: np.ndarray, labels: np.ndarray, classes: Sequence[str], probabilities: np.ndarray
) -> SetPredictions:
    """Predicts the labels that probably hold; arguments as in `SetPredictions`."""
    predicted = np.array(write_texts(probabilities >= 0.5, classes), object)
    return SetPredictions(image_ids, labels, predicted, tuple(classes), probabilities)


def write_texts(held: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Writes the text of each set, of bool `[n, k]`."""
    names = np.array(classes, object)
    return [write_set(names[each].tolist()) for each in held]


def to_members(sets: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Finds the members of sets: whether each class is in each text, str `[n]`, as bool `[n, k]`."""
    texts, places = np.unique(sets.astype(str), return_inverse=True)
    members = np.array([np.isin(classes, list_members(text)) for text in texts], bool)
    return members.reshape(len(texts), len(classes))[places]
