"""A deployment in a folder of its own, whose jobs are started as a user starts them, and their cost."""

import os
import shutil
from contextlib import chdir
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from benchmarks.processes import Cost, run_command

LIMIT_SECONDS: Final = 3_600.0
_MODULES: Final = {"PYTHONPATH", "VIRTUAL_ENV"}  # variables that would lead a checkout to the modules of another


@dataclass(frozen=True)
class Deployment:
    """Landing zone, lake and runs in a folder, and the version of Daylight that works on them.

    Attributes:
        checkout: folder of a version that `make setup` has installed.
        root: folder of the data.
        start_day: first day of the daily partitions.
    """

    checkout: Path
    root: Path
    start_day: date

    @property
    def lake(self) -> Path:
        """The folder of the tables."""
        return self.root / "lake"

    def day(self, day: date) -> Path:
        """The folder of the images of a day."""
        folder = self.root / "landing" / "days" / str(day)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def training(self) -> Path:
        """The folder of the labelled images."""
        return self.root / "landing" / "training"

    def launch(self, job: str, *arguments: str) -> Cost:
        """Runs a job to its end in a process of its own.

        Raises:
            CandidateError: if it fails.
        """
        home = self.root / "dagster"
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.checkout / "dagster.yaml", home)
        inherited = {name: value for name, value in os.environ.items() if name not in _MODULES}
        own = {
            "DAGSTER_HOME": home,
            "DAYLIGHT_LANDING": self.root / "landing",
            "DAYLIGHT_LAKE": self.lake,
            "DAYLIGHT_START_DAY": self.start_day,
        }
        environment = inherited | {name: str(value) for name, value in own.items()}
        command = [str(self.checkout / ".venv" / "bin" / "dg"), "launch", "--job", job, *arguments]
        with chdir(self.checkout):
            return run_command(command, os.cpu_count() or 1, environment, self.root / "log.txt", LIMIT_SECONDS)
