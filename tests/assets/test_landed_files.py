"""What `make forget` leaves to a person: the files of the landing zone that hold the image, and no others."""

from hashlib import sha256
from pathlib import Path

from assets.commands.forget import list_landed
from pipeline.daily.traces import Trace
from resources.settings import read_settings

DAY = "2026-11-20"


def test_a_file_that_holds_another_image_by_now_is_not_named(tmp_path: Path) -> None:
    folder, content = tmp_path / "days" / DAY, b"a photo"
    folder.mkdir(parents=True)
    for name, stored in {"kept.jpg": content, "replaced.jpg": b"another photo"}.items():
        (folder / name).write_bytes(stored)
    arrivals = [{"day": DAY, "path": name} for name in ("kept.jpg", "replaced.jpg", "gone.jpg")]
    settings = read_settings().replace(landing=str(tmp_path), training=str(tmp_path / "training"))
    trace = Trace(sha256(content).hexdigest(), arrivals=arrivals)
    assert list_landed(settings, trace) == [str(folder / "kept.jpg")]
