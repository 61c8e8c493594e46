"""The landing zone: finds the folders of each day's images, of labelled images and of filled review forms."""

from collections.abc import Iterable
from datetime import date

import dagster as dg
from pyarrow import fs

from pipeline.storage.files import open_folder


class LandingError(FileNotFoundError):
    """A missing folder; the text gives the folder, the setting and the cure."""


class LandingZone(dg.ConfigurableResource):
    """Folders or URIs with images; nothing is ever written there."""

    landing: str
    training: str
    label_pattern: str = ""

    def day_folders(self, days: Iterable[str]) -> dict[date, str]:
        """Finds the folder of each day.

        Raises:
            LandingError: if one does not exist, because a missed upload must not look like a day without images.
        """
        folders = {day: f"{self.landing}/days/{day}" for day in days}
        missing = [day for day, folder in folders.items() if not _exists(folder)]
        if missing:
            raise LandingError(
                f"{folders[missing[0]]} does not exist, so {', '.join(missing)} cannot be read: put the images of the"
                " day there, make the folder empty if none came, or set DAYLIGHT_LANDING to another landing zone"
            )
        return {date.fromisoformat(day): folder for day, folder in folders.items()}

    def training_folder(self) -> str:
        """Finds the folder of the labelled images.

        Raises:
            LandingError: if it does not exist.
        """
        if not _exists(self.training):
            raise LandingError(
                f"{self.training} does not exist: put labelled images there as <label>/<file>,"
                " or set DAYLIGHT_TRAINING to another folder"
            )
        return self.training

    def review_folder(self) -> str | None:
        """Finds the folder of the filled-in review forms; None if there is none."""
        folder = f"{self.landing}/reviews"
        return folder if _exists(folder) else None


def _exists(folder: str) -> bool:
    filesystem, root = open_folder(folder)
    return bool(filesystem.get_file_info(root).type == fs.FileType.Directory)
