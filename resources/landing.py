"""The landing zone: finds the folders of each day's images, of labelled images and of filled review forms."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date

import dagster as dg
from pyarrow import fs
from pydantic import Field

from pipeline.daily.due_days import parse_quiet_days
from pipeline.images.labels import TrainingFiles, list_training_files
from pipeline.storage.files import open_folder
from resources.question import Question


class LandingError(FileNotFoundError):
    """A missing folder; the text gives the folder, the setting and the cure.

    Attributes:
        days: the days whose folder is missing; none for another folder.
    """

    def __init__(self, text: str, days: Sequence[str] = ()) -> None:  # noqa: D107
        super().__init__(text)
        self.days = tuple(days)


class LandingZone(dg.ConfigurableResource):
    """Folders or URIs with images; nothing is ever written there."""

    landing: str
    name: str = ""
    training: str
    label_pattern: str = ""
    manifest: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    is_multi_label: bool = False
    quiet_days: str = ""

    def day_folders(self, days: Iterable[str], stored_days: Collection[str] = ()) -> dict[date, str | None]:
        """Finds the folder of each day; None for a day without images.

        Such a day has an empty file in place of its folder, since object stores have no empty folders, or it is one of
        DAYLIGHT_QUIET_DAYS. A quiet day whose images are stored already has lost its folder, and counts as missing.

        Raises:
            LandingError: if one does not exist, because a missed upload must not look like a day without images.
        """
        quiet = parse_quiet_days(self.quiet_days)
        folders: dict[date, str | None] = {}
        missing = []
        for name in days:
            day, folder = date.fromisoformat(name), f"{self.landing}/days/{name}"
            found = _find(folder)
            if found.type == fs.FileType.Directory:
                folders[day] = folder
            elif (found.is_file and found.size == 0) or (day in quiet and name not in stored_days):
                folders[day] = None
            else:
                missing.append(name)
        if missing:
            raise LandingError(
                f"{self.landing}/days/{missing[0]} does not exist, so {', '.join(missing)} cannot be read: put the"
                " images of the day there; if none came, make the folder empty, or in an object store an empty file of"
                " that name; or set DAYLIGHT_LANDING to another landing zone",
                missing,
            )
        return folders

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

    def list_training_files(self) -> TrainingFiles:
        """Lists the labelled images.

        Raises:
            LandingError: if their folder does not exist.
            LabelError: if no label can be found, or the manifest or the pattern is invalid.
        """
        folder = self.training_folder()
        return list_training_files(folder, self.label_pattern, self.manifest, self.labels, self.is_multi_label)

    def review_folder(self) -> str | None:
        """Finds the folder of the filled-in review forms; None if there is none."""
        return self.reviews if _exists(self.reviews) else None

    @property
    def reviews(self) -> str:
        """Where filled-in review forms are put."""
        return "/".join(filter(None, (self.landing, self.name, "reviews")))


def open_landing_zone(question: Question) -> LandingZone:
    """Opens the landing zone for a question."""
    return LandingZone(
        **question.settings.model_dump(include={"landing", "training", "label_pattern", "quiet_days"}),
        name=question.name,
        manifest=question.manifest,
        labels=dict(question.labels),
        is_multi_label=question.is_multi_label,
    )


def _exists(folder: str) -> bool:
    return bool(_find(folder).type == fs.FileType.Directory)


def _find(folder: str) -> fs.FileInfo:
    filesystem, root = open_folder(folder)
    return filesystem.get_file_info(root)
