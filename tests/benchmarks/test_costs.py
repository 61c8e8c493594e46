"""Costs: from how many images on a candidate that starts late is the sooner one."""

import pytest

from benchmarks.costs import Round


def test_a_later_start_breaks_even_where_both_lines_meet() -> None:
    seconds = {("late", 1_000): 7.0, ("late", 3_000): 12.0, ("early", 1_000): 3.5, ("early", 3_000): 11.5}
    runs = [
        {"candidate": name, "images": images, "wall_seconds": wall, "cpu_seconds": wall, "facts": {}}
        for (name, images), wall in seconds.items()
    ]
    measured = Round(runs)
    assert measured.shortest("late") == 7.0
    meeting = measured.break_even("late", "early")
    assert meeting == pytest.approx(1_000 + 3.5 / 0.0015)
    late, early = (3.5 + (meeting - 1_000) * measured.wall(name) for name in ("late", "early"))
    assert late + 3.5 == pytest.approx(early)
