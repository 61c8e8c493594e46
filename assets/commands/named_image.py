"""The image that a command is about: how it is named, and how the command ends if something it needs is missing."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deltalake.exceptions import DeltaError

from pipeline.daily.traces import UnknownImageError
from pipeline.reports.markdown import escape_invisible
from pipeline.storage.object_stores import is_uri
from resources.settings import SettingError, Settings, read_settings


def make_parser(command: str, description: str | None, epilog: str) -> argparse.ArgumentParser:
    """Makes the parser of a command of the Makefile, whose first argument is the image."""
    name, formatter = f"make {command} IMAGE=", argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(prog=name, description=description, epilog=epilog, formatter_class=formatter)
    parser.add_argument("image", help="path or image_id of the image")
    return parser


@contextmanager
def exit_with_reason(*errors: type[Exception]) -> Iterator[None]:
    """Ends the command with the message of an error: of these, of settings or tables, or if not one image matches."""
    expected: tuple[type[Exception], ...] = (SettingError, DeltaError, *errors)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        yield
    except UnknownImageError as error:
        sys.exit("\n".join(escape_invisible(line) for line in str(error).split("\n")))
    except expected as error:
        sys.exit(escape_invisible(str(error)))


def read_settings_of_lake() -> Settings:
    """Reads the settings; exits if their lake does not exist."""
    settings = read_settings()
    if not is_uri(settings.lake) and not Path(settings.lake).is_dir():
        sys.exit(f"there is no lake in {settings.lake}: set DAYLIGHT_LAKE to the folder of the tables")
    return settings
