"""The landing zone: the folders where pictures arrive, by day, where labelled ones lie, and where reviews come back."""

from collections.abc import Iterable
from datetime import date

import dagster as dg
from pyarrow import fs
from pydantic import Field

from pipeline.storage.files import open_folder


class LandingError(FileNotFoundError):
    """A folder that is not there; the text names it, the variable and the cure."""


class LandingZone(dg.ConfigurableResource):
    """Where pictures arrive; nothing is ever written there."""

    landing: str = Field(description="Folder or URI with days/<YYYY-MM-DD>/**/<file> (DAYLIGHT_LANDING).")
    training: str = Field(description="Folder or URI with labelled pictures (DAYLIGHT_TRAINING).")
    label_pattern: str = Field(
        default="", description="Regular expression with a group `label`, found in the path (DAYLIGHT_LABEL_PATTERN)."
    )

    def day_folders(self, days: Iterable[str]) -> dict[date, str]:
        """The folder of each day.

        Raises:
            LandingError: where one of them does not exist: a day without pictures is an empty folder, so that an upload
                which never came is not taken for a quiet day.
        """
        folders = {day: f"{self.landing}/days/{day}" for day in days}
        missing = [day for day, folder in folders.items() if not _exists(folder)]
        if missing:
            raise LandingError(
                f"{folders[missing[0]]} does not exist, so {', '.join(missing)} cannot be read: put the pictures of the"
                f" day there, make the folder empty if none came, or let DAYLIGHT_LANDING name another landing zone"
            )
        return {date.fromisoformat(day): folder for day, folder in folders.items()}

    def training_folder(self) -> str:
        """The folder of the labelled pictures.

        Raises:
            LandingError: where it does not exist.
        """
        if not _exists(self.training):
            raise LandingError(
                f"{self.training} does not exist: put labelled pictures there as <label>/<file>,"
                f" or let DAYLIGHT_TRAINING name another folder"
            )
        return self.training

    def review_folder(self) -> str | None:
        """The folder of the filled-in review forms, or None where nobody made it."""
        folder = f"{self.landing}/reviews"
        return folder if _exists(folder) else None


def _exists(folder: str) -> bool:
    filesystem, root = open_folder(folder)
    return bool(filesystem.get_file_info(root).type == fs.FileType.Directory)
