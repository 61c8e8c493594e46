"""Set predictions: sets of labels predicted by a classifier beside the true sets, on the driver."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
        """The answers to all questions; an `image_id` is followed by the label."""
        return join_predictions([self._name(each) for each in self.classes])

    @property
    def by_label(self) -> LabelledPredictions:
        """For each label that holds for an image, this label and whether it was predicted; ids as in `by_answer`."""
        parts = []
        for label in self.classes:
            named = self._name(label)
            chosen = named.labels == YES
            predicted = np.where(named.predicted[chosen] == YES, label, deny(label)).astype(object)
            labels = np.full(chosen.sum(), label, object)
            found = LabelledPredictions(
                named.image_ids[chosen], labels, predicted, self.classes, np.zeros((len(labels), len(self.classes)))
            )
            parts.append(found)
        return join_predictions(parts)

    @property
    def by_set(self) -> LabelledPredictions:
        """The same predictions, whose classes are all sets that hold or are predicted for an image."""
        sets = tuple(sorted({*self.labels.tolist(), *self.predicted.tolist()}))
        members = to_members(np.array(sets, object), self.classes)
        shares = np.ones((len(self), len(sets)))
        for place in range(len(self.classes)):
            own = self.probabilities[:, place, None]
            shares *= np.where(members[None, :, place], own, 1 - own)
        return LabelledPredictions(self.image_ids, self.labels, self.predicted, sets, shares)

    def _name(self, label: str) -> LabelledPredictions:
        ids = np.array([f"{image_id} {label}" for image_id in self.image_ids], object)
        return replace(self.about(label), image_ids=ids)


def predict_sets(
    image_ids: np.ndarray, labels: np.ndarray, classes: Sequence[str], probabilities: np.ndarray
) -> SetPredictions:
    """Predicts the labels that probably hold; arguments as in `SetPredictions`."""
    names = np.array(classes, object)
    predicted = [write_set(names[held].tolist()) for held in probabilities >= 0.5]
    return SetPredictions(image_ids, labels, np.array(predicted, object), tuple(classes), probabilities)


def to_members(sets: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Tells for texts of sets, str `[n]`, whether each class is a member, bool `[n, k]`."""
    texts, places = np.unique(sets.astype(str), return_inverse=True)
    members = np.array([np.isin(classes, list_members(text)) for text in texts], bool)
    return members.reshape(len(texts), len(classes))[places]
