"""The commands `make review-export` and `make review-import`: the queue in FiftyOne or Label Studio, and back."""

import argparse
import sys
from pathlib import Path

from deltalake.exceptions import DeltaError

from assets.commands.review import choose_days
from pipeline.reviews.answer_files import read_answers
from pipeline.reviews.answers import AnswerError
from pipeline.reviews.desk import Desk
from resources.lake.commits import LakeError
from resources.lake.lake import Lake
from resources.review.answer_log import AnswerLog
from resources.review.exchange_files import FORMATS, export, read_answers_of
from resources.review.images import SIDES, Images
from resources.review.queue_tables import QueueTables
from resources.settings import SettingError, Settings, read_settings


def main() -> None:
    """Exports or imports."""
    parser = argparse.ArgumentParser(prog="make review-export / review-import", description=__doc__)
    parser.add_argument("--format", choices=FORMATS, help="tool to export for")
    parser.add_argument("--out", type=Path, help="new folder for the export")
    parser.add_argument("--days", default="", help="days to export; by default the last thirty with a queue")
    parser.add_argument("--classifier", default="", help="name of a further classifier (docs/classifiers.md)")
    parser.add_argument("--import", dest="file", type=Path, help="JSON file that the tool exported")
    parser.add_argument("--reviewer", default="", help="who answered, where the file does not say")
    options = parser.parse_args()
    try:
        settings = read_settings()
        if options.file:
            print(import_answers(settings, options.file, options.reviewer, options.classifier))
        elif options.format and options.out:
            print(export_queue(settings, options.format, options.out, options.days, options.classifier))
        else:
            parser.error("give --format and --out to export, or --import")
    except (SettingError, LakeError, AnswerError, DeltaError, OSError) as error:
        sys.exit(str(error))


def export_queue(settings: Settings, tool: str, folder: Path, days: str, classifier: str = "") -> str:
    """Exports the queue of some days; returns a summary."""
    images = Images(settings.lake, SIDES["large"], settings.limits, classifier)
    try:
        counts = export(_open_desk(settings, days, classifier), images, tool, folder)
    finally:
        images.close()
    missing = f"; {counts['missing']} have no bytes any more" if counts["missing"] else ""
    return f"{counts['written']} images are in {folder}{missing}"


def import_answers(settings: Settings, file: Path, reviewer: str, classifier: str = "") -> str:
    """Imports answers into the log of the lake; returns a summary."""
    answers = read_answers_of(file, reviewer, _open_desk(settings, "", classifier))
    log = AnswerLog(Lake(root=settings.lake, prefix=classifier).home)
    if answers:
        log.append(answers)
    log.close()
    return f"{len(answers)} answers of {file} are stored; the next training reads them"


def _open_desk(settings: Settings, days: str, classifier: str) -> Desk:
    tables, home = QueueTables(settings.lake, classifier), Lake(root=settings.lake, prefix=classifier).home
    items, labels = tables.read_items(choose_days(tables, days)), tables.read_labels()
    return Desk(items, labels, read_answers(home), tables.read_features)


if __name__ == "__main__":
    main()
