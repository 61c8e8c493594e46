"""The command `daylight-job`: a job and its days reach Dagster as given, and its failures end the command."""

import sys
from datetime import UTC, datetime, timedelta

import pytest

from assets.commands import job


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """The runs that were asked for; each fails if its days include a Friday."""
    asked: list[tuple] = []

    def run(name: str, *days: str, is_kept: bool) -> str | None:
        asked.append((name, *days, is_kept))
        return "predictions: no images" if "2026-11-20" in days else None

    monkeypatch.setattr(job, "run_job", run)
    return asked


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["daylight-job", *arguments])
    job.main()


def test_the_days_are_those_given_or_yesterday(runs: list[tuple], monkeypatch: pytest.MonkeyPatch) -> None:
    call(monkeypatch, "training", "--keep-events")
    call(monkeypatch, "daily", "2026-11-21", "2026-11-22")
    call(monkeypatch, "daily")
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert runs == [
        ("training", True),
        ("daily", "2026-11-21", "2026-11-22", False),
        ("daily", yesterday.isoformat(), False),
    ]


def test_failures_end_the_command_with_their_text(runs: list[tuple], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="predictions: no images"):
        call(monkeypatch, "daily", "2026-11-20")
    monkeypatch.setenv("DAYLIGHT_TIME_ZONE", "Nowhere")
    with pytest.raises(SystemExit, match="DAYLIGHT_TIME_ZONE cannot be used"):
        call(monkeypatch, "daily")
    assert len(runs) == 1


@pytest.mark.parametrize("arguments", [("training", "2026-11-20"), ("daily", "yesterday"), ("nightly",)])
def test_what_is_no_job_or_no_day_is_refused(
    arguments: tuple[str, ...], runs: list[tuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, *arguments)
    assert (caught.value.code, runs) == (2, [])
