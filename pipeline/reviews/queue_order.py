"""Order of the review page: the most useful image first.

The audit comes first until the precision of its day is known. Then reasons take turns, so that the first hundred
answers hold the doubtful, the novel, the wrongly labelled and the drifted alike, and one image of each group.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import date
from itertools import chain, zip_longest

from pipeline.reviews.answers import Key
from pipeline.reviews.items import AUDIT, Item


def order_items(
    items: Iterable[Item], is_known: Callable[[date | None], bool], followers: Collection[Key] = ()
) -> list[Item]:
    """Orders items by the value of a label.

    Args:
        items: all items; images of the audit are ordered by a draw that knows neither prediction nor path.
        is_known: whether enough images of a day's audit are answered; the rest of them comes last.
        followers: images of which one that looks alike is asked first; they come after all others.
    """
    by_reason: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_reason[item.reason].append(item)
    audit = sorted(by_reason.pop(AUDIT, []), key=lambda item: item.draw)
    known = {day: is_known(day) for day in {item.key.day for item in audit}}
    first, last = ([item for item in audit if known[item.key.day] == is_last] for is_last in (False, True))
    columns = [sorted(group, key=lambda item: (item.rank, item.key.image_id)) for group in by_reason.values()]
    turns = [item for item in chain.from_iterable(zip_longest(*columns)) if item]
    behind = set(followers)
    return [*first, *sorted(turns, key=lambda item: item.key in behind), *last]
