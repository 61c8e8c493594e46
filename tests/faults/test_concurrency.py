"""Concurrency: concurrent runs leave the result of one of them, and a reader never sees part of a day."""

import threading

import pytest
from deltalake import DeltaTable
from deployment import DAY, NEXT_DAY, Deployment


def test_two_runs_of_one_day_leave_one_result(deployment: Deployment, expected: dict) -> None:
    runs = [deployment.start("daily", DAY) for _ in range(2)]
    for run in runs:
        run.wait()
    assert any(run.is_good for run in runs), runs[0].text + runs[1].text
    for run in runs:
        assert run.is_good or "another run wrote" in run.text, run.text
    assert deployment.all_rows(DAY) == expected[DAY]


@pytest.fixture(scope="module")
def watched(trained: Deployment, tmp_path_factory: pytest.TempPathFactory) -> tuple[Deployment, list[int]]:
    """Two days run at once in a new lake, then one of them again; and the row counts that a polling reader saw."""
    deployment = trained.copy(tmp_path_factory.mktemp("watched"))
    folder = str(deployment.lake / "predictions")
    seen: list[int] = []
    is_over = threading.Event()

    def read() -> None:
        while not is_over.wait(0.05):
            if DeltaTable.is_deltatable(folder):
                table = DeltaTable(folder).to_pyarrow_table(columns=["day"])
                seen.append(sum(str(day) == DAY for day in table["day"].to_pylist()))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        runs = [deployment.start("daily", day) for day in (DAY, NEXT_DAY)]
        for run in runs:
            run.wait()
            assert run.is_good, run.text
        again = deployment.run("daily", DAY)
        assert again.is_good, again.text
    finally:
        is_over.set()
        reader.join()
    return deployment, seen


def test_runs_of_two_days_at_once_both_succeed(watched: tuple[Deployment, list[int]], expected: dict) -> None:
    deployment, _ = watched
    for day in (DAY, NEXT_DAY):
        assert deployment.all_rows(day) == expected[day]


def test_a_polling_reader_never_sees_part_of_a_day(watched: tuple[Deployment, list[int]], expected: dict) -> None:
    _, seen = watched
    whole = len(expected[DAY]["predictions"])
    assert set(seen) <= {0, whole}
    assert seen == sorted(seen), "a day never disappears"
    assert seen.count(whole) > 20
