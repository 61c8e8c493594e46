"""What `make forget` leaves to a person: the files of the landing zone that hold the image, and no others."""

from hashlib import sha256
from pathlib import Path

from assets.commands.forget import list_landed
from pipeline.daily.traces import Trace

DAY = "2026-11-20"


def test_a_file_that_holds_another_image_by_now_is_not_named(tmp_path: Path) -> None:
    folder, content = tmp_path / "days" / DAY, b"a photo"
    folder.mkdir(parents=True)
    for name, stored in {"kept.jpg": content, "replaced.jpg": b"another photo"}.items():
        (folder / name).write_bytes(stored)
    arrivals = [{"day": DAY, "path": name} for name in ("kept.jpg", "replaced.jpg", "gone.jpg")]
    trace = Trace(sha256(content).hexdigest(), arrivals=arrivals)
    assert list_landed(str(tmp_path), {"": str(tmp_path / "training")}, {"": trace}) == [str(folder / "kept.jpg")]


def test_labelled_images_and_forms_of_every_question_are_named_once(tmp_path: Path) -> None:
    content = b"a photo"
    image_id, files = sha256(content).hexdigest(), ["red/1.jpg", "shared/1.jpg"]
    own, shared = tmp_path / "labelled", tmp_path / "training"
    for folder in (own / "red", shared / "shared"):
        folder.mkdir(parents=True)
        (folder / "1.jpg").write_bytes(content)
    form = tmp_path / "colour" / "reviews" / f"{DAY}.csv"
    form.parent.mkdir(parents=True)
    form.write_text(f"image_id,label\n{image_id},red\n")
    labelled = [[{"path": path}] for path in files]
    traces = {
        "": Trace(image_id, labelled=labelled[1]),
        "colour": Trace(image_id, labelled=labelled[0]),
        "shape": Trace(image_id, labelled=labelled[1]),
        "deleted": Trace(image_id, labelled=labelled[0]),
    }
    folders = {"": str(shared), "colour": str(own), "shape": str(shared)}
    assert list_landed(str(tmp_path), folders, traces) == [
        *(str(shared / "shared/1.jpg"), str(own / "red/1.jpg"), str(form))
    ]
