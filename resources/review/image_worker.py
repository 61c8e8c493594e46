"""The image worker: a process that reads the bytes of an image and returns a JPEG drawn in the sandbox.

The server never holds untrusted bytes. One request is a line of JSON on standard input, one response a length and that
many bytes; no bytes: there is no such image, its bytes are gone or cannot be decoded. It ends with the server.
"""

import argparse
import json
import struct
import sys
from collections import OrderedDict
from datetime import date
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.embed.contents import COLUMNS, read_contents
from pipeline.embed.limits import Limits
from pipeline.embed.pixels import Decoding
from pipeline.embed.sandbox import Sandbox
from pipeline.reports.thumbnails import draw_jpeg
from pipeline.reviews.answers import Key, parse_key
from pipeline.storage.cpu_timer import CpuTimer
from pipeline.storage.stored_rows import locate_rows, read_portion
from resources.lake.commits import list_files, open_table
from resources.shares import folder_of

LENGTH: Final = struct.Struct(">Q")
KEPT_DAYS: Final = 8  # days whose places are in memory: 100 bytes for each of their images
IMAGE_ID: Final = pa.field("image_id", pa.string())


class ImageReader:
    """Draws images of a lake."""

    def __init__(self, lake: str, side: int, limits: Limits, prefix: str = "") -> None:
        """Opens nothing yet; `side` is that of the square that an image fits, in pixels."""
        self._lake, self._side, self._prefix = lake, side, prefix
        self._sandbox = Sandbox(Decoding(side, limits))
        self._places: OrderedDict[date | None, pa.Table] = OrderedDict()

    def draw(self, key: Key) -> bytes:
        """Draws an image as JPEG; empty if it is unknown, purged or cannot be decoded."""
        content = self._read(key)
        if content is None:
            return b""
        row = self._sandbox.run(pa.array([content], pa.binary()), CpuTimer()).to_pylist()[0]
        return b"" if row["pixels"] is None else draw_jpeg(row, self._side)

    def close(self) -> None:
        """Ends the sandbox."""
        self._sandbox.close()

    def _read(self, key: Key) -> bytes | None:
        """Reads the bytes; looks the place up again if the day was written again meanwhile."""
        for is_cached in (True, False):
            if not is_cached:
                self._places.pop(key.day, None)
            places = self._locate(key.day)
            row = pc.index(places["image_id"], key.image_id).as_py()
            if row < 0:
                continue
            place = places.slice(row, 1).to_pylist()[0]
            try:
                rows = read_portion(self._folder(key), {**place, "rows": [place["row"]]}, COLUMNS)
            except FileNotFoundError:
                continue
            (read,) = read_contents(rows.combine_chunks().to_batches()[0])
            return read.bytes[0].as_py()
        return None

    def _locate(self, day: date | None) -> pa.Table:
        if day not in self._places:
            folder = self._folder(Key(day, ""))
            delta = open_table(folder)
            files = list_files(delta, "day", None if day is None else [str(day)]) if delta else ()
            self._places[day] = locate_rows(folder, files, [IMAGE_ID], lambda rows: rows["image_id"].is_valid())
        self._places.move_to_end(day)
        while len(self._places) > KEPT_DAYS:
            self._places.popitem(last=False)
        return self._places[day]

    def _folder(self, key: Key) -> str:
        return folder_of("images" if key.day else "training_images", self._lake, self._prefix)


def main() -> None:
    """Answers requests until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lake")
    parser.add_argument("side", type=int)
    parser.add_argument("limits", type=json.loads)
    parser.add_argument("--prefix", default="")
    options = parser.parse_args()
    reader = ImageReader(options.lake, options.side, Limits(*options.limits), options.prefix)
    for line in sys.stdin:
        content = reader.draw(parse_key(json.loads(line)))
        sys.stdout.buffer.write(LENGTH.pack(len(content)) + content)
        sys.stdout.buffer.flush()
    reader.close()


if __name__ == "__main__":
    main()
