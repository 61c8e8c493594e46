"""The command `make explain`: everything that the tables of the lake contain about one image.

It shows why a prediction is what it is, and, for a request to delete an image, which classifiers were trained on it.
"""

import argparse
import sys
from pathlib import Path

from deltalake.exceptions import DeltaError

from pipeline.daily.trace_text import format_trace
from pipeline.daily.traces import UnknownImageError
from pipeline.reports.markdown import escape_invisible
from pipeline.storage.object_stores import is_uri
from resources.image_traces import ImageTraces
from resources.settings import SettingError, read_settings

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
    parser = argparse.ArgumentParser(
        prog="make explain IMAGE=", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("image", help="path or image_id of the image")
    parser.add_argument("--classifier", default="", help="name of a further classifier (docs/classifiers.md)")
    parser.add_argument("--json", action="store_true", help="print JSON with all rows, for scripts")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        lake = read_settings().lake
        if not is_uri(lake) and not Path(lake).is_dir():
            sys.exit(f"there is no lake in {lake}: set DAYLIGHT_LAKE to the folder of the tables")
        trace = ImageTraces(lake, options.classifier).find(options.image)
    except UnknownImageError as error:
        sys.exit("\n".join(escape_invisible(line) for line in str(error).split("\n")))
    except (SettingError, DeltaError) as error:
        sys.exit(escape_invisible(str(error)))
    sys.stdout.write(f"{trace.to_json() if options.json else format_trace(trace)}\n")


if __name__ == "__main__":
    main()
