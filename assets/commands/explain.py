"""The command `make explain`: all that the lake knows of one picture, from its tables alone.

For a person on call who asks why an answer is what it is, and for a request to delete a picture: it says which
classifiers learned from it. It starts no Spark and writes nothing.
"""

import argparse
import sys

from deltalake.exceptions import DeltaError

from pipeline.daily.trace_text import format_trace
from pipeline.daily.traces import UnknownImageError
from pipeline.reports.markdown import escape_invisible
from resources.lake.image_traces import ImageTraces
from resources.settings import SettingError, read_settings

EPILOG = """\
A picture is named by
  its path as it is stored            cam1/a.jpg
  the same with its day before it     2026-11-22/cam1/a.jpg
  a longer path that ends in it       s3://pictures/days/2026-11-22/cam1/a.jpg
  its image_id or how it begins       3f2a91c0        (eight digits at least)
  a file on this machine              with the same bytes, wherever it lies

It leaves with 0 where it found the picture, with 1 where the lake knows none, or several, and with 2 where it was not
asked rightly."""


def main() -> None:
    """Explains one picture."""
    parser = argparse.ArgumentParser(
        prog="make explain IMAGE=", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("image", help="path or image_id of the picture")
    parser.add_argument("--json", action="store_true", help="the same for scripts, with all rows")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        trace = ImageTraces(read_settings().lake).find(options.image)
    except UnknownImageError as error:
        sys.exit("\n".join(escape_invisible(line) for line in str(error).split("\n")))
    except (SettingError, DeltaError) as error:
        sys.exit(escape_invisible(str(error)))
    sys.stdout.write(f"{trace.to_json() if options.json else format_trace(trace)}\n")


if __name__ == "__main__":
    main()
