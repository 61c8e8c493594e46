"""The command `make similar`: the images most like one, among all labelled images and all days."""

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from deltalake.exceptions import DeltaError

from assets.commands.explain import EPILOG
from pipeline.daily.traces import UnknownImageError
from pipeline.reports.markdown import escape_invisible
from pipeline.reviews.answer_files import read_answers
from pipeline.reviews.answers import AnswerError, Key
from pipeline.storage.object_stores import is_uri
from resources.image_traces import ImageTraces
from resources.lake.lake import Lake
from resources.review.similar_images import COUNT, Match, SimilarImages
from resources.settings import SettingError, read_settings


def main() -> None:
    """Prints the matches, the most similar first."""
    parser = argparse.ArgumentParser(
        prog="make similar IMAGE=", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("image", help="path or image_id of the image")
    parser.add_argument("--classifier", default="", help="name of a further classifier (docs/classifiers.md)")
    parser.add_argument("--days", default="", help="days to search beside the labelled images; by default all")
    parser.add_argument("--count", default=COUNT, type=int, help="images to find")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        settings = read_settings()
        if not is_uri(settings.lake) and not Path(settings.lake).is_dir():
            sys.exit(f"there is no lake in {settings.lake}: set DAYLIGHT_LAKE to the folder of the tables")
        days = [date.fromisoformat(day.strip()) for day in options.days.split(",")] if options.days else None
        home = Lake(root=settings.lake, prefix=options.classifier).home
        similar = SimilarImages(settings.lake, read_answers(home), options.classifier)
        matches = similar.find(find_key(settings.lake, options.image, options.classifier), days, options.count)
    except UnknownImageError as error:
        sys.exit("\n".join(escape_invisible(line) for line in str(error).split("\n")))
    except (SettingError, AnswerError, DeltaError, ValueError) as error:
        sys.exit(escape_invisible(str(error)))
    print(format_matches(matches, "/".join(filter(None, (settings.review_url, options.classifier)))))


def find_key(lake: str, text: str, classifier: str = "") -> Key:
    """Finds the image that a text names, on its last day or among the labelled images.

    Raises:
        UnknownImageError: if there is none, or more than one.
        AnswerError: if its bytes could not be read.
    """
    trace = ImageTraces(lake, classifier).find(text)
    if trace.image_id is None:
        raise AnswerError(f"{text!r} could not be read, so nothing is like it")
    days = [row["day"] for row in trace.features]
    return Key(max(days) if days else None, trace.image_id)


def format_matches(matches: Sequence[Match], review_url: str) -> str:
    """Writes one line per match: similarity, what it is, when and where."""
    rows = [
        (
            f"{match.similarity:.3f}",
            match.label or match.predicted_label or "(audit)",
            "labelled" if match.label else f"{match.confidence:.0%}" if match.confidence is not None else "",
            ", ".join(map(str, match.days)),
            escape_invisible(match.path),
            f"{review_url}/?image={match.key}",
        )
        for match in matches
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


if __name__ == "__main__":
    main()
