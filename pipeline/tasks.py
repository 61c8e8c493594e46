"""Tasks: how work of known weights is spread, so that all cores are busy to the end."""

import heapq
import math
from collections.abc import Sequence
from typing import Final

TASKS_AT_ONCE: Final = 4
"""The number of tasks is a multiple of it, so that two or four cores end together."""


def assign_tasks(weights: Sequence[int], task_weight: int) -> list[int]:
    """Spreads pieces of work over tasks so that all have about the same weight: the heaviest first, to the lightest.

    Args:
        weights: of the pieces.
        task_weight: of a task, about; many light pieces make `TASKS_AT_ONCE` tasks all the same.

    Returns:
        The number of its task for every piece, from 0.
    """
    rounds = max(1, math.ceil(sum(weights) / task_weight / TASKS_AT_ONCE))
    task_count = min(len(weights), rounds * TASKS_AT_ONCE)
    lightest = [(0, task) for task in range(task_count)]
    tasks = [0] * len(weights)
    for piece in sorted(range(len(weights)), key=weights.__getitem__, reverse=True):
        load, tasks[piece] = lightest[0]
        heapq.heapreplace(lightest, (load + weights[piece], tasks[piece]))
    return tasks
