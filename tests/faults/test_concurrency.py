"""Concurrency: runs at the same time end in the result of one of them, and no reader ever sees a part of a day."""

import threading

from deltalake import DeltaTable
from deployment import DAY, NEXT_DAY, Deployment


def test_two_runs_of_one_day_end_in_one_result(deployment: Deployment, expected: dict) -> None:
    runs = [deployment.start("daily", DAY) for _ in range(2)]
    for run in runs:
        run.wait()
    assert any(run.is_good for run in runs), runs[0].text + runs[1].text
    for run in runs:
        assert run.is_good or "another run wrote" in run.text, run.text
    assert deployment.all_rows(DAY) == expected[DAY]


def test_runs_of_two_days_at_once_both_succeed(deployment: Deployment, expected: dict) -> None:
    runs = [deployment.start("daily", day) for day in (DAY, NEXT_DAY)]
    for run in runs:
        run.wait()
        assert run.is_good, run.text
    for day in (DAY, NEXT_DAY):
        assert deployment.all_rows(day) == expected[day]


def test_a_reader_in_a_loop_never_sees_a_part_of_a_day(deployment: Deployment, expected: dict) -> None:
    assert deployment.run("daily", DAY).is_good
    whole = len(expected[DAY]["predictions"])
    seen: list[int] = []
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            table = DeltaTable(deployment.lake / "predictions").to_pyarrow_table()
            seen.append(sum(str(day) == DAY for day in table["day"].to_pylist()))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        runs = [deployment.start("daily", DAY), deployment.start("daily", NEXT_DAY)]
        for run in runs:
            run.wait()
    finally:
        is_over.set()
        reader.join()
    assert len(seen) > 20
    assert set(seen) == {whole}
