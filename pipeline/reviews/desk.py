"""The desk: which image a reviewer sees next, what an answer stores, and how far the work is.

Everything is in memory; logs and tables are read and written by `resources/review`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Any, Final

import numpy as np

from pipeline.reviews.answers import BAD_IMAGE, CANNOT_TELL, NONE, Answer, AnswerBook, AnswerError, Key
from pipeline.reviews.enough import Progress, measure_progress, pool_progress
from pipeline.reviews.groups import WINDOW, group_alike, suggest_label
from pipeline.reviews.items import SHOWN_LABELS, Item, show_item
from pipeline.reviews.queue_order import order_items

MAX_BATCH: Final = 500  # images that one answer may name
ALL_DAYS: Final = "all days"
AHEAD: Final = 12  # single images that the page gets at once, to load the next ones early

LoadFeatures = Callable[[Sequence[Key]], np.ndarray]
"""Reads the features of images, float32 `[n, dimension]`; zeros where there are none."""


@dataclass(frozen=True)
class View:
    """What a reviewer wants to see.

    Attributes:
        reviewer: who looks.
        is_grouped: whether images that look alike are shown together.
        is_second: whether images that others answered come again, for a second opinion.
        day: the only day to show; None for all of them, and label issues.
    """

    reviewer: str
    is_grouped: bool = False
    is_second: bool = False
    day: date | None = None


class Desk:
    """The work of all reviewers on one queue."""

    def __init__(
        self, items: Sequence[Item], labels: Sequence[str], book: AnswerBook, load_features: LoadFeatures
    ) -> None:
        """Takes the queue, its labels (the most frequent first), the answers given so far, and a reader of features."""
        self.items = {item.key: item for item in items}
        self.book = book
        self._load_features = load_features
        self._labels = list(dict.fromkeys([*labels, *self._answered_labels()]))
        self._audits: defaultdict[date | None, list[Item]] = defaultdict(list)
        for item in items:
            if item.is_blind:
                self._audits[item.key.day].append(item)
        self._order: list[Item] = []
        self._groups: list[list[Item]] = []
        self._group_of: dict[Key, list[Item]] = {}
        self._followers: set[Key] = set()
        self._known: dict[date | None, bool] | None = None
        self._behind: set[Key] = set()
        self._is_ordered = False
        self._skipped: defaultdict[str, dict[Key, None]] = defaultdict(dict)

    @property
    def labels(self) -> list[str]:
        """All labels, those that reviewers added last."""
        return self._labels

    @property
    def days(self) -> list[date]:
        """Days of the queue, in order."""
        return sorted({key.day for key in self.items if key.day})

    def next_cards(self, view: View) -> list[dict[str, Any]]:
        """The next card for a reviewer, and those that follow, so that the page can load their images in advance."""
        begun = self._begun_group(view) if view.is_grouped else []
        groups, seen, count = ([begun] if begun else []), {item.key for item in begun}, 0
        for item in self._waiting(view):
            if count >= AHEAD:
                break
            if item.key not in seen:
                group = self._group_with(item, view)
                groups.append(group)
                seen |= {each.key for each in group}
                count += len(group)
        return [self._show(group) for group in groups]

    def _show(self, group: Sequence[Item]) -> dict[str, Any]:
        images = [show_item(item, self._labels) for item in group]
        if len(group) == 1:
            return {"images": images, "choices": images[0]["choices"]}
        choices = suggest_label([item.likely for item in group])[:SHOWN_LABELS]
        return {"images": images, "choices": [{"label": label, "probability": round(p, 4)} for label, p in choices]}

    def answer(self, keys: Sequence[Key], label: str, reviewer: str, at: datetime, batch: str) -> list[Answer]:
        """Makes the answers of one action; `add` them once they are stored.

        Raises:
            AnswerError: if there is no image, or too many.
        """
        if not 0 < len(set(keys)) <= MAX_BATCH:
            raise AnswerError(f"choose between 1 and {MAX_BATCH} images")
        given = []
        for key in dict.fromkeys(keys):
            item = self.items.get(key)
            predicted, classifier = (item.predicted_label, item.classifier) if item else (None, None)
            given.append(Answer(key, label, reviewer, at, batch, predicted, classifier))
        return given

    def add(self, answers: Sequence[Answer]) -> None:
        """Adds stored answers."""
        self.book.add(answers)
        self._is_ordered = False
        for answer in answers:
            self._skipped[answer.reviewer].pop(answer.key, None)
            if answer.label and answer.label not in (NONE, CANNOT_TELL, BAD_IMAGE) and answer.label not in self._labels:
                self._labels.append(answer.label)

    def skip(self, keys: Collection[Key], reviewer: str) -> None:
        """Puts images at the end of a reviewer's queue, until the server ends."""
        for key in keys:
            if key in self.items:
                self._skipped[reviewer].pop(key, None)
                self._skipped[reviewer][key] = None

    def count_waiting(self, view: View) -> int:
        """Counts the images that wait for a reviewer."""
        total = sum(item.key.day == view.day for item in self.items.values()) if view.day else len(self.items)
        answered = self.book.keys() & self.items.keys()
        return total - sum(self._is_done(key, view) for key in answered if view.day in (None, key.day))

    def progress(self) -> dict[str, Progress]:
        """How far the audit of each day is, and of several days together."""
        days = {str(day): self._measure(day) for day in sorted(self._audits, key=str)}
        weights = {str(day): sum(item.weight for item in items) for day, items in self._audits.items()}
        pooled = pool_progress([(each, weights[day]) for day, each in days.items()])
        return days | ({ALL_DAYS: pooled} if len(days) > 1 else {})

    def prepare_groups(self) -> None:
        """Groups the front of the queue; takes a second, so the server runs it beside others."""
        waiting = (item for item in self._ordered() if item.key.day and not item.is_blind)
        window = list(islice((item for item in waiting if not self.book.of(item.key)), WINDOW))
        groups = group_alike(self._load_features([item.key for item in window]), [item.likely for item in window])
        self._groups = [[window[place] for place in group] for group in groups]
        self._group_of = {item.key: group for group in self._groups for item in group}
        self._followers = {item.key for group in self._groups for item in group[1:]}
        self._is_ordered = False

    def take_done_window(self) -> bool:
        """Whether the grouped front of the queue is answered; says so once, so that one caller groups the next one."""
        is_done = bool(self._groups) and all(self.book.of(item.key) for group in self._groups for item in group)
        if is_done:
            self._groups = []
        return is_done

    def _begun_group(self, view: View) -> list[Item]:
        """What is left of a group that the reviewer answered in part; empty if there is none."""
        for group in self._groups:
            if any(view.reviewer in self.book.of(item.key) for item in group):
                left = [item for item in group if self._waits(item, view) and not self._is_skipped(item, view)]
                if len(left) > 1:
                    return left
        return []

    def _group_with(self, item: Item, view: View) -> list[Item]:
        """The item, with those of its group that wait too."""
        if not view.is_grouped or self._is_skipped(item, view):
            return [item]
        group = self._group_of.get(item.key, [item])
        return [
            each for each in group if each is item or (self._waits(each, view) and not self._is_skipped(each, view))
        ]

    def _is_skipped(self, item: Item, view: View) -> bool:
        return item.key in self._skipped[view.reviewer]

    def _waits(self, item: Item, view: View) -> bool:
        return view.day in (None, item.key.day) and not self._is_done(item.key, view)

    def _is_done(self, key: Key, view: View) -> bool:
        given = self.book.of(key)
        return view.reviewer in given or (bool(given) and not view.is_second)

    def _waiting(self, view: View) -> Iterator[Item]:
        skipped = self._skipped[view.reviewer]
        yield from (item for item in self._ordered() if item.key not in skipped and self._waits(item, view))
        yield from (self.items[key] for key in list(skipped) if self._waits(self.items[key], view))

    def _ordered(self) -> list[Item]:
        """The queue, reordered whenever a day's precision becomes known."""
        if not self._is_ordered:
            known = {day: self._measure(day).is_known for day in self._audits}
            if known != self._known or self._followers != self._behind:
                self._order = order_items(self.items.values(), lambda day: known.get(day, True), self._followers)
                self._known, self._behind = known, self._followers
            self._is_ordered = True
        return self._order

    def _measure(self, day: date | None) -> Progress:
        given = [self.book.of(item.key).values() for item in self._audits[day]]
        latest = [max(answers, key=lambda answer: answer.at) for answers in given if answers]
        judged = sorted(
            (each for each in latest if each.label not in (CANNOT_TELL, BAD_IMAGE)), key=lambda each: each.at
        )
        set_aside_count = len(latest) - len(judged)
        are_right = [each.label == each.predicted_label for each in judged]
        return measure_progress(are_right, len(self._audits[day]) - set_aside_count)

    def _answered_labels(self) -> list[str]:
        counts = Counter(answer.label for answer in self.book.standing() if answer.label)
        return [label for label, _ in counts.most_common() if label not in (NONE, CANNOT_TELL, BAD_IMAGE)]
