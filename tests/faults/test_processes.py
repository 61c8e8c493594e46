"""Processes: whichever is killed, and whenever, a day is unchanged or complete, and the next run completes it."""

import os
import random
import signal
import time

import pytest
from deployment import DAY, Deployment, command_of, is_jvm_of_spark, parent_of
from poisons import poison

MOMENTS = {
    "before anything is written": ("resources.lake.lake:open_or_create", 1, False),
    "when the images are written and not committed": ("resources.lake.lake:replace_rows", 1, False),
    "when the images are committed": ("resources.lake.lake:replace_rows", 1, True),
    "when images are embedded and not committed": ("resources.lake.portions:append_rows", 1, False),
    "when images are embedded and committed": ("resources.lake.portions:append_rows", 1, True),
    "when the features are written and not committed": ("resources.lake.lake:replace_rows", 2, False),
    "when the predictions are written and not committed": ("resources.lake.lake:replace_rows", 3, False),
    "when the predictions are committed": ("resources.lake.lake:replace_rows", 3, True),
}


def is_whole_or_absent(deployment: Deployment, expected: dict) -> bool:
    return all(rows is None or rows == expected[DAY][table] for table, rows in deployment.all_rows(DAY).items())


@pytest.fixture(scope="module")
def battered(trained: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """One deployment for all moments: every run finds what the killed runs left."""
    return trained.copy(tmp_path_factory.mktemp("battered"))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_driver_leaves_the_day_unchanged_or_complete(
    moment: str, battered: Deployment, expected: dict
) -> None:
    function, call, after = MOMENTS[moment]
    run = battered.run("daily", DAY, "--kill", function, "--call", str(call), *(["--after"] if after else []))
    assert run.process.returncode == -signal.SIGKILL, run.text
    assert is_whole_or_absent(battered, expected)


def test_a_killed_jvm_fails_the_run(battered: Deployment, expected: dict) -> None:
    run = battered.start("daily", DAY)
    os.kill(run.find(is_jvm_of_spark), signal.SIGKILL)
    assert run.wait() != 0
    assert is_whole_or_absent(battered, expected)


def test_the_run_after_the_killed_ones_is_complete(battered: Deployment, expected: dict) -> None:
    again = battered.run("daily", DAY)
    assert again.is_good, again.text
    assert battered.all_rows(DAY) == expected[DAY]


def test_a_driver_killed_at_random_moments_leaves_the_day_unchanged_or_complete(
    deployment: Deployment, expected: dict
) -> None:
    for seed in range(4):
        run = deployment.start("daily", DAY)
        time.sleep(random.Random(seed).uniform(4, 16))
        run.kill()
        assert is_whole_or_absent(deployment, expected)
    again = deployment.run("daily", DAY)
    assert again.is_good, again.text
    assert deployment.all_rows(DAY) == expected[DAY]


def test_a_killed_driver_leaves_no_process(deployment: Deployment) -> None:
    run = deployment.start("daily", DAY)
    java = run.find(is_jvm_of_spark)
    worker = run.find(lambda command, depth: "pipeline.daemon" in command and depth > 2)
    run.kill()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and (command_of(java) or command_of(worker)):
        time.sleep(0.2)
    assert not command_of(java)
    assert not command_of(worker)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_does_not_wait_for_its_images(
    number: signal.Signals, deployment: Deployment, expected: dict
) -> None:
    deployment.set_spark(spark_python_daemon_module="poisoned_daemon")
    hanging = deployment.folder(DAY) / "hangs.jpg"
    hanging.write_bytes(poison("a wait without end"))
    run = deployment.start("daily", DAY, DAYLIGHT_MAX_SECONDS="90")
    run.find(lambda command, depth: "poisoned_daemon" in command and depth >= 4)
    started = time.monotonic()
    run.process.send_signal(number)
    assert run.wait() != 0
    assert time.monotonic() - started < 30, run.text
    assert "Interrupted: a signal, such as that of Ctrl-C, stopped the run. Launch it again" in run.text
    assert deployment.rows("image_features", DAY) is None
    hanging.unlink()
    again = deployment.run("daily", DAY)
    assert again.is_good, again.text
    assert deployment.all_rows(DAY) == expected[DAY]


def test_a_killed_worker_costs_time_and_no_row(deployment: Deployment, expected: dict) -> None:
    """An image that hangs gives time to find the worker, and has its own row."""
    deployment.set_spark(spark_python_daemon_module="poisoned_daemon")
    (deployment.folder(DAY) / "hangs.jpg").write_bytes(poison("a wait without end"))
    run = deployment.start("daily", DAY, DAYLIGHT_MAX_SECONDS="6", DAYLIGHT_MAX_REJECTED_SHARE="1")
    child = run.find(lambda command, depth: "poisoned_daemon" in command and depth >= 4)
    os.kill(parent_of(child), signal.SIGKILL)
    run.wait()
    assert run.is_good, run.text
    rows = deployment.rows("predictions", DAY)
    assert [row["error"] for row in rows if row["path"] == "hangs.jpg"] == ["timed out"]
    others = [row for row in rows if row["path"] != "hangs.jpg"]
    assert sorted(map(str, others)) == sorted(map(str, expected[DAY]["predictions"]))
