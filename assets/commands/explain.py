"""The command `make explain`: everything that the tables of the lake contain about one image.

It shows why a prediction is what it is, and, for a request to delete an image, which classifiers were trained on it.
"""

from assets.commands.named_image import exit_with_reason, make_parser, read_settings_of_lake
from pipeline.daily.trace_text import format_trace
from resources.image_traces import ImageTraces

EPILOG = """\
Name an image by
  its stored path                     cam1/a.jpg
  its day and its path                2026-11-22/cam1/a.jpg
  a longer path that ends in it       s3://images/days/2026-11-22/cam1/a.jpg
  its image_id or a prefix of it      3f2a91c0        (at least eight digits)
  a local file                        with the same bytes, in any folder

Exit status: 0 if the image was found, 1 if there is none or more than one, 2 for wrong arguments."""


def main() -> None:
    """Explains one image."""
    parser = make_parser("explain", __doc__, EPILOG)
    parser.add_argument("--classifier", default="", help="name of a further classifier (docs/classifiers.md)")
    parser.add_argument("--json", action="store_true", help="print JSON with all rows, for scripts")
    options = parser.parse_args()
    with exit_with_reason():
        lake = read_settings_of_lake().lake
        trace = ImageTraces(lake, options.classifier).find(options.image)
    print(trace.to_json() if options.json else format_trace(trace))


if __name__ == "__main__":
    main()
