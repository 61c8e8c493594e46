"""The command `make similar`: the images most like one, among all labelled images and all days."""

from collections.abc import Sequence
from datetime import date

from assets.commands.explain import EPILOG
from assets.commands.named_image import exit_with_reason, make_parser, read_settings_of_lake
from pipeline.reports.markdown import escape_invisible
from pipeline.reviews.answer_files import read_answers
from pipeline.reviews.answers import AnswerError, Key
from resources.image_traces import ImageTraces
from resources.lake.lake import Lake
from resources.review.similar_images import COUNT, Match, SimilarImages


def main() -> None:
    """Prints the matches, the most similar first."""
    parser = make_parser("similar", __doc__, EPILOG)
    parser.add_argument("--classifier", default="", help="name of a further classifier (docs/classifiers.md)")
    parser.add_argument("--days", default="", help="days to search beside the labelled images; by default all")
    parser.add_argument("--count", default=COUNT, type=int, help="images to find")
    options = parser.parse_args()
    with exit_with_reason(AnswerError, ValueError):
        settings = read_settings_of_lake()
        days = [date.fromisoformat(day.strip()) for day in options.days.split(",")] if options.days else None
        home = Lake(root=settings.lake, prefix=options.classifier).home
        similar = SimilarImages(settings.lake, read_answers(home), options.classifier)
        matches = similar.find(find_key(settings.lake, options.image, options.classifier), days, options.count)
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
