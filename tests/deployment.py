"""A deployment in a folder, and jobs on it in separate processes that tests may kill."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import chdir, contextmanager, suppress
from datetime import date
from pathlib import Path
from unittest.mock import patch

import onnx
from conftest import COLOURS, MakePhoto, make_tiny_graph
from deltalake import DeltaTable

from assets.commands.job import LAST, run_job

PROJECT = Path(__file__).parents[1]
DAY, NEXT_DAY = "2026-11-20", "2026-11-21"
TABLES = ("images", "image_features", "predictions", "review_queue")
PATIENCE_SECONDS = 600


class Deployment:
    """A landing zone and a lake in a folder, and the environment of jobs on them."""

    def __init__(self, root: Path, **environment: str) -> None:
        self.root = root
        self.lake = root / "lake"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
            "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}:{PROJECT / 'tests' / 'faults'}",
            "DAYLIGHT_LANDING": str(root / "landing"),
            "DAYLIGHT_LAKE": str(self.lake),
            "DAYLIGHT_BACKBONE": str(root / "tiny.onnx"),
            "DAYLIGHT_PIXEL_SCALING": "unit",
            "DAYLIGHT_FIT": "letterbox",
            "DAYLIGHT_PRECISION": "fp32",
            "DAYLIGHT_SPARK_MASTER": "local[2]",
            **environment,
        }

    def copy(self, root: Path, **environment: str) -> "Deployment":
        shutil.copytree(self.root, root, symlinks=True, dirs_exist_ok=True)
        return Deployment(root, **environment)

    def folder(self, day: str) -> Path:
        folder = self.root / "landing" / "days" / day
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def lay_out(self, make_photo: MakePhoto, labelled: int) -> None:
        """Stores the tiny network and this number of labelled images per colour."""
        onnx.save(make_tiny_graph(), self.root / "tiny.onnx")
        for colour in COLOURS:
            folder = self.root / "landing" / "training" / colour
            folder.mkdir(parents=True)
            for seed in range(labelled):
                (folder / f"{seed}.jpg").write_bytes(make_photo(colour, seed))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Switches this process to the settings and the folder of the deployment."""
        ours = {name: value for name, value in self.environment.items() if name.startswith("DAYLIGHT_")}
        with patch.dict(os.environ, ours), chdir(self.root):
            yield

    def set_spark(self, **settings: str) -> None:
        lines = [f"{name.replace('_', '.')}: {value}\n" for name, value in settings.items()]
        (self.root / "spark.yaml").write_text("".join(lines))

    @staticmethod
    def command(*arguments: str) -> list[str]:
        """The command of a job in a separate process."""
        return [sys.executable, str(PROJECT / "tests" / "run_job.py"), *arguments]

    def start(self, *arguments: str, **environment: str) -> "Run":
        return Run(self, arguments, environment)

    def run(self, *arguments: str, **environment: str) -> "Run":
        run = self.start(*arguments, **environment)
        run.wait()
        return run

    def failures(self, job: str, *days: str) -> str | None:
        """Runs a job in this process, which is faster; returns its failures, or None."""
        with self.entered():
            return run_job(job, *days)

    def rows(self, table: str, day: str) -> list[dict] | None:
        """Reads a day without Spark, sorted; None if the day was never written."""
        if not DeltaTable.is_deltatable(str(self.lake / table)):
            return None
        delta = DeltaTable(self.lake / table)
        if not delta.transaction_version(day):
            return None
        found = delta.to_pyarrow_table(filters=[("day", "=", date.fromisoformat(day))]).to_pylist()
        return sorted(found, key=str)

    def all_rows(self, day: str) -> dict[str, list[dict] | None]:
        return {table: self.rows(table, day) for table in TABLES}


class Run:
    """A job in a separate process, with the processes it starts."""

    def __init__(self, deployment: Deployment, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        self.log = deployment.root / f"run-{time.monotonic_ns()}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                deployment.command(*arguments),
                cwd=deployment.root,
                env=deployment.environment | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> int:
        try:
            return self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise AssertionError(f"not ended after {PATIENCE_SECONDS} s:\n{self.text[-4000:]}") from None

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def is_good(self) -> bool:
        return self.process.returncode == 0

    @property
    def last_lines(self) -> list[str]:
        """What a user reads at the end of a red run."""
        return find_last_lines(self.text)

    def watch_workers(self) -> dict[int, int]:
        """Waits for the end; returns the peak memory in bytes of each Python process of Spark, by pid."""
        peaks: dict[int, int] = {}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            for pid in descendants(self.process.pid):
                if "daemon" in command_of(pid):
                    peaks[pid] = max(peaks.get(pid, 0), peak_of(pid))
            time.sleep(0.05)
        self.wait()
        return peaks

    def wait_for_stop(self) -> None:
        """Waits until the process has stopped itself."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                return
            time.sleep(0.05)
        raise AssertionError(f"it did not stop:\n{self.text[-4000:]}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def kill_all(self) -> None:
        for pid in [*descendants(self.process.pid), self.process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def find(self, is_wanted: Callable[[str, int], bool]) -> int:
        """Waits for a descendant that is wanted, judged by its command line and its depth."""
        below = self.process.pid
        return self.find_in(
            lambda: {pid for pid, depth in descendants(below).items() if is_wanted(command_of(pid), depth)}
        )

    def find_in(self, list_wanted: Callable[[], Collection[int]]) -> int:
        """Waits for the first listed process while the job runs."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            for pid in list_wanted():
                return pid
            time.sleep(0.02)
        raise AssertionError(f"there was no such process:\n{self.text[-4000:]}")


def without_day(rows: list[dict]) -> list[dict]:
    """Drops what depends on the date: the day, and the images drawn for the audit."""
    return [row | {"day": None, "audit_weight": None} for row in rows if row.get("reason") != "audit"]


def find_last_lines(text: str) -> list[str]:
    """Finds the explanation of a red run in the text of its failures."""
    return [line.removeprefix(LAST).strip() for line in text.splitlines() if line.startswith(LAST)]


def peak_of(pid: int) -> int:
    """Returns the peak memory of a process, in bytes."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def is_jvm_of_spark(command: str, _: int) -> bool:
    """Excludes the shells that start the JVM, and the JVM that computes their command line."""
    return command.partition(" ")[0].endswith("/java") and "SparkSubmit" in command and "launcher.Main" not in command


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def descendants(root: int) -> dict[int, int]:
    """Returns all descendants of a process, with their depth."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = parent_of(int(entry.name))
            except (OSError, IndexError):
                continue
            children[parent].append(int(entry.name))
    found: dict[int, int] = {}
    waiting = [(root, 0)]
    while waiting:
        pid, depth = waiting.pop()
        for child in children[pid]:
            found[child] = depth + 1
            waiting.append((child, depth + 1))
    return found
